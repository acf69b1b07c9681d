import { z } from 'zod'
import type { Explanation } from '../../authentication/explanation.ts'
import { ok } from '../answer.ts'
import { credentialId, providerId } from '../bodies/identity-body.ts'
import { keyId, tenantId } from '../bodies/wire.ts'
import * as field from '../fields.ts'
import { type AdminRoute, route } from '../route.ts'

/** Explains an assertion: a service that an administrator asks. */
export type ExplainAssertion = (
  assertion: string,
  options: { client: string | undefined; asIdToken: boolean },
) => Promise<Explanation>

const assertionBody = z
  .strictObject({
    assertion: field.text(16_384).describe('The identity token. It is neither stored nor logged.'),
    id_token: field.flag.default(false).describe('Whether it would be sent with the type `id_token`.'),
    client_id: field
      .text(64)
      .nullable()
      .default(null)
      .describe('Id of the key or the tenant that the request would name; null: none.'),
  })
  .meta({ id: 'AssertionToExplain', description: 'An identity token, and how it would be sent.' })

const explanationBody = z
  .strictObject({
    accepted: z.boolean().describe('Whether a token would be issued.'),
    reason: z.string().nullable().describe('The first reason why not, as in the log; null: it is accepted.'),
    provider: providerId
      .nullable()
      .describe('Identity provider that issued the token; null: none was found.'),
    subject: z
      .string()
      .nullable()
      .describe('Subject of the identity token; null: the signature was not verified.'),
    credentials: z.array(credentialId).describe('Credentials that match, or that the reason is about.'),
    key: keyId.nullable().describe('The key that the token would be for; null: none.'),
    tenant: tenantId.nullable().describe('The tenant of the key; null: none.'),
  })
  .meta({
    id: 'AssertionExplanation',
    description: 'What an exchange of an identity token would do.',
    examples: [
      {
        accepted: false,
        reason: 'no_credential_matches',
        provider: 'idp_3Fh7Kd9Qx2Lm5Zt8',
        subject: 'system:serviceaccount:acme:default',
        credentials: [],
        key: null,
        tenant: null,
      },
    ],
  })

/** A tester for the rules of identity providers and credentials. */
export function explainAssertionRoutes(explain: ExplainAssertion): AdminRoute[] {
  return [
    route({
      operation: 'explainAssertion',
      summary: 'Explain what an exchange of an identity token would do',
      details: 'Decides by the data of the replica that answers. Changes nothing, and issues no token.',
      answers: { 200: explanationBody },
      example: { body: { assertion: 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJyb2JvdCJ9.c2lnbmF0dXJl' } },
      method: 'post',
      path: '/identity-providers/explain',
      right: 'identity-providers:read',
      body: assertionBody,
      handle: async ({ body }) => {
        const options = { client: body.client_id ?? undefined, asIdToken: body.id_token }
        const { reason, ...about } = await explain(body.assertion, options)
        return ok({
          accepted: reason === undefined,
          reason: reason ?? null,
          provider: about.providerId ?? null,
          subject: about.subject ?? null,
          credentials: about.credentialIds,
          key: about.keyId ?? null,
          tenant: about.tenantId ?? null,
        })
      },
    }),
  ]
}
