import { z } from 'zod'
import { newest, type RefusalQuery } from '../../http/recent-refusals.ts'
import type { Admin } from '../admin-auth.ts'
import { ok } from '../answer.ts'
import { explanationBody } from '../bodies/explanation-body.ts'
import * as field from '../fields.ts'
import { ForeignTenant } from '../foreign-tenant.ts'
import { type AdminRoute, route } from '../route.ts'
import type { Decision, GatewayRequest } from './decisions.ts'
import { type Explaining, toWire } from './explanation-wire.ts'

const MOST_REFUSALS = 10
const SUBJECTS = ['credential', 'key', 'token_id', 'request_id'] as const

const body = z
  .strictObject({
    credential: field
      .text(8_192)
      .optional()
      .describe(
        'An API key or a token. It is neither stored nor logged, and the response does not repeat it.',
      ),
    key: field.keyId.optional().describe('Id of a key.'),
    token_id: z
      .string('must be text')
      .regex(/^[\w-]{1,64}$/, 'must be the claim `jti` of a token: letters, digits, - and _')
      .optional()
      .describe('Id of a token: its claim `jti`.'),
    request_id: z
      .string('must be text')
      .regex(/^[0-9A-Fa-f-]{16,64}$/, 'must be 16 to 64 hexadecimal digits and -')
      .optional()
      .describe('Id of a request, of Mintmark (`X-Request-Id`) or of a gateway (`x-request-id`).'),
    audience: field
      .text(200)
      .optional()
      .describe(
        'Audience of the gateway. By default the audience of gateways that call `/check` (`MINTMARK_GATEWAY_AUDIENCE`).',
      ),
    model: field
      .text(200)
      .optional()
      .describe('Model that the request names. By default no model is compared.'),
  })
  .superRefine((given, { addIssue }) => {
    const named = SUBJECTS.filter(name => given[name] !== undefined)
    if (named.length === 0)
      addIssue({ code: 'custom', message: `must name one of ${SUBJECTS.join(', ')}: what to explain` })
    if (named.length < 2) return
    for (const name of named)
      addIssue({ code: 'custom', path: [name], message: `must be the only one of ${SUBJECTS.join(', ')}` })
  })
  .meta({
    id: 'Explain',
    description: 'What to explain: one credential or id, and the request it came with.',
  })

/** Explains why a credential or a request is accepted or refused. */
export function explainRoutes(explaining: Explaining): AdminRoute[] {
  /** Of this replica and the others; those of the administrator's tenant. A request that this one knows is at no other. */
  const refusalsOf = async (admin: Admin, query: RefusalQuery) => {
    const { decisions, recent, elsewhere } = explaining
    const own = recent.find(query, MOST_REFUSALS)
    const isNothing = Object.values(query).every(id => id === undefined)
    const isHere = query.requestId !== undefined && own.length > 0
    const others = isNothing || isHere ? undefined : await elsewhere(query)
    const found = newest([...own, ...(others?.refusals ?? [])], MOST_REFUSALS)
    if (admin.tenantId === null) return { refusals: found, others }
    const tenants = await Promise.all(
      found.map(({ keyId }) => (keyId === undefined ? undefined : decisions.tenantOfKey(keyId))),
    )
    return { refusals: found.filter((_, index) => tenants[index] === admin.tenantId), others }
  }
  return [
    route({
      operation: 'explain',
      summary: 'Explain why a credential or a request is refused',
      details:
        'Applies the rules of an exchange and of `/check` to a credential, without issuing a token or recording a use. The result is that of the replica that answers, at this moment. The response also has the last refusals of the key, token or request: those that this replica remembers, and those of the other replicas that answer within a second. Mintmark does not count requests against limits, so it does not see a 429 of a gateway.',
      answers: { 200: explanationBody },
      notFound: true,
      example: {
        body: { credential: 'mmk_7Hq2kd9XwP3mZt5B_0000000000000000000000000000000000000000000000000' },
      },
      method: 'post',
      path: '/explain',
      right: 'keys:read',
      target: 'scoped by the handler',
      body,
      handle: async ({ admin, body: given }) => {
        const { decisions, recent, gateway } = explaining
        const { audience = gateway.audience, model } = given
        const asked: GatewayRequest = { audience, scope: gateway.scope, model }
        const answer = async (
          subject: Parameters<typeof toWire>[0]['subject'],
          decision: Partial<Decision>,
          query: RefusalQuery,
        ) => {
          const remembered = await refusalsOf(admin, query)
          const shown = {
            gateway: { ...gateway, audience },
            recent: admin.tenantId === null ? recent : undefined,
          }
          return ok(toWire({ subject, decision, ...remembered, ...shown }))
        }
        const { credential, key, token_id: jti, request_id: requestId } = given
        if (key !== undefined) {
          const decision = await decisions.ofKey(key, asked)
          if (isForeign(admin, decision)) throw new ForeignTenant('key', key)
          return answer('key', decision, { keyId: key })
        }
        if (jti !== undefined) {
          const entry = admin.tenantId === null ? decisions.revocationOf(jti) : undefined
          return answer('token_id', entry ? { revocation: entry } : {}, { tokenId: jti })
        }
        if (requestId !== undefined) return answer('request', {}, { requestId })
        const text = (credential ?? '').trim()
        if (text.includes('.')) {
          const decision = await decisions.ofToken(text, asked)
          const { claims } = decision
          if (claims && admin.tenantId !== null && claims.tenant !== admin.tenantId)
            throw new ForeignTenant('token')
          return answer('token', decision, { tokenId: claims?.jti })
        }
        const decision = await decisions.ofSecret(text, asked)
        // To others the key of a tenant does not exist.
        const own = isForeign(admin, decision) ? decisions.unknown(asked) : decision
        return answer('key', own, { keyId: own.key?.id })
      },
    }),
  ]
}

const isForeign = ({ tenantId }: Admin, { key }: Decision): boolean =>
  tenantId !== null && key !== undefined && key.tenantId !== tenantId
