import { z } from 'zod'
import { versionOf } from '../database/version.ts'
import { Forbidden } from '../errors.ts'
import type { Ended, TokenRevocation } from '../token-revocations/token-revocation.ts'
import type { TokenRevocations } from '../token-revocations/token-revocations.ts'
import type { Admin } from './admin-auth.ts'
import { created, ok } from './answer.ts'
import { tokenRevocationBody } from './bodies/token-revocation-body.ts'
import { page } from './bodies/wire.ts'
import type { Cursors } from './cursor.ts'
import * as field from './fields.ts'
import { ForeignTenant } from './foreign-tenant.ts'
import type { ShownRevocations } from './gateways/shown-revocations.ts'
import { pageBody, pageQuery, pageRequest } from './paging.ts'
import { REVALIDATED } from './preconditions.ts'
import { type AdminRoute, route } from './route.ts'

const SUBJECTS = ['jti', 'key', 'tenant'] as const

const revocation = z
  .strictObject({
    jti: z
      .string('must be text')
      .regex(/^[\w-]{1,64}$/, 'must be the claim `jti` of a token: letters, digits, - and _')
      .optional()
      .describe('Revoke the one token with this claim `jti`.'),
    key: field.keyId.optional().describe('Revoke all tokens that were issued to the key with this id.'),
    tenant: field.tenantId
      .optional()
      .describe('Revoke all tokens that were issued to keys of the tenant with this id.'),
    reason: field.reason.nullable().default(null).describe('Reason, for the list and the audit trail.'),
  })
  .superRefine((given, { addIssue }) => {
    const named = SUBJECTS.filter(name => given[name] !== undefined)
    if (named.length === 0)
      addIssue({ code: 'custom', message: 'must name one of jti, key, tenant: what to revoke' })
    if (named.length < 2) return
    for (const name of named)
      addIssue({ code: 'custom', path: [name], message: 'must be the only one of jti, key, tenant' })
  })
  .meta({ id: 'NewTokenRevocation', description: 'Issued tokens to revoke.' })

const LIST = '/token-revocations'

/** The deny list. A tenant-admin sees and revokes tokens of its tenant only, by key or all of them. */
export function tokenRevocationRoutes(
  revocations: TokenRevocations,
  shownRevocations: ShownRevocations,
  cursors: Cursors,
): AdminRoute[] {
  /** With what the gateways have now: it is part of the version. */
  const shown = async (admin: Admin, revocation: TokenRevocation) => {
    const wire = (await shownRevocations.present(admin))(revocation)
    return { wire, version: versionOf(wire) }
  }
  return [
    route({
      operation: 'createTokenRevocation',
      summary: 'Revoke issued tokens',
      details:
        'Revokes tokens that are already issued: one by its `jti`, or all of a key or a tenant. Keys can still be exchanged for new tokens. To stop that too, revoke or disable the key, or suspend the tenant. The gateway check (`/check`) rejects revoked tokens at once. A gateway that verifies them by itself rejects them if it keeps the list of revoked tokens; otherwise it accepts them until they expire.',
      answers: { 201: tokenRevocationBody },
      notFound: true,
      example: { body: { tenant: 'acme', reason: 'laptop stolen' } },
      method: 'post',
      path: LIST,
      right: 'token-revocations:write',
      target: 'scoped by the handler',
      tellsVersion: true,
      body: revocation,
      handle: async ({ actor, admin, body: { reason, ...given } }) => {
        const revocation = await revocations.create(actor, endedBy(admin, given), {
          reason,
          tenantId: admin.tenantId,
        })
        const { wire, version } = await shown(admin, revocation)
        return created(`${LIST}/${revocation.id}`, wire, version)
      },
    }),
    route({
      operation: 'listTokenRevocations',
      summary: 'List revocations of tokens',
      details: 'The list of revoked tokens: entries that have not expired yet.',
      answers: { 200: page(tokenRevocationBody) },
      method: 'get',
      path: LIST,
      right: 'token-revocations:read',
      target: 'scoped by the handler',
      query: pageQuery,
      handle: async ({ admin, query }) => {
        const list = { path: LIST, tenant: admin.tenantId }
        const found = await revocations.list(admin.tenantId, pageRequest(cursors, list, query))
        return ok(pageBody(cursors, list, found, await shownRevocations.present(admin)))
      },
    }),
    route({
      operation: 'getTokenRevocation',
      summary: 'Get a revocation of tokens',
      answers: { 200: tokenRevocationBody },
      method: 'get',
      path: `${LIST}/:id`,
      right: 'token-revocations:read',
      target: {
        what: 'token revocation',
        param: 'id',
        tenantOf: async id => (await revocations.get(id)).tenantId,
      },
      ...REVALIDATED,
      handle: async ({ admin, params }) => {
        const { wire, version } = await shown(admin, await revocations.get(params.id ?? ''))
        return ok(wire, version)
      },
    }),
  ]
}

/** @throws {ForeignTenant} @throws {Forbidden} for one token, of which the tenant is not known. */
function endedBy(
  { tenantId }: Admin,
  { jti, key, tenant }: Omit<z.output<typeof revocation>, 'reason'>,
): Ended {
  if (key !== undefined) return { key }
  if (tenant !== undefined) {
    if (tenantId !== null && tenant !== tenantId) throw new ForeignTenant('tenant', tenant)
    return { tenant }
  }
  if (tenantId !== null)
    throw new Forbidden('A tenant-admin cannot revoke a token by its jti. Revoke the tokens of its key.')
  return { jti: jti ?? '' }
}
