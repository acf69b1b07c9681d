import { z } from 'zod'
import {
  type CredentialSettings,
  type KeyCredential,
  SINGLE_USES,
} from '../../identity-providers/key-credential.ts'
import { ASSERTION_ALGS } from '../../identity-providers/provider-kind.ts'
import * as field from '../fields.ts'

/** Request fields of identity providers and credentials. Their rules are checked by identity-providers/. */

const jwks = z
  .record(z.string(), z.unknown(), 'must be a JWK Set')
  .describe('Public keys as a JWK Set (RFC 7517 §5). Private and symmetric keys are rejected.')

const value = field.text(512)
const claims = z.record(
  field.text(300),
  z.union([value, z.array(value).max(32, 'must have at most 32 values')], 'must be text, or a list of texts'),
  'must be an object',
)
const subject = field.text(512).nullable()

export const providerSettings = {
  name: field.displayName.default('').describe('Display name.'),
  jwks: jwks
    .nullable()
    .default(null)
    .describe('Public keys as a JWK Set (RFC 7517 §5). null: they are fetched from the issuer.'),
  jwks_uri: field
    .text(512)
    .nullable()
    .default(null)
    .describe(
      'URL of the JWK Set. If `jwks` and `jwks_uri` are both null, the keys are found by the discovery document of the issuer, or for the kind `kubernetes` at `/openid/v1/jwks` of the issuer.',
    ),
  ca_pem: z
    .string('must be text')
    .max(16_384, 'must be at most 16384 characters')
    .nullable()
    .default(null)
    .describe(
      'Certificates of the authorities that sign the certificate of the issuer, as PEM. null: those of the system.',
    ),
  allow_addresses: z
    .array(field.text(64), 'must be a list')
    .max(16, 'must have at most 16 entries')
    .default([])
    .describe(
      'Networks, each with a port, from which keys may be fetched although their addresses are not public, such as `10.0.0.0/8:443`.',
    ),
  fetch_token: z
    .string('must be text')
    .max(8_192, 'must be at most 8192 characters')
    .regex(/^[\x21-\x7e]+$/, 'must be one word of printable ASCII')
    .nullable()
    .default(null)
    .describe(
      'Bearer token for fetching the keys. It is sent only to the origin of `jwks_uri`, or without `jwks_uri` to that of the issuer. It is stored encrypted, and never shown. A request that changes that origin, `ca_pem` or `allow_addresses` must contain the token again.',
    ),
  in_cluster: field.flag
    .default(false)
    .describe(
      'Only for the kind `kubernetes`: fetch the keys from the API server of the cluster that Mintmark runs in, with the service account of its own pod. The files of the service account are read again for each fetch.',
    ),
  jwks_max_stale_seconds: field
    .wholeNumber(60, 604_800)
    .default(86_400)
    .describe(
      'How long fetched keys are used while fetches fail. Then exchanges of this provider are answered 503.',
    ),
  audiences: field.audiences
    .min(1, 'must not be empty')
    .describe(
      'Accepted audiences. Use audiences that no other service accepts. Every audience of an assertion must be one of them.',
    ),
  algorithms: z
    .array(z.enum(ASSERTION_ALGS, `must be one of ${ASSERTION_ALGS.join(', ')}`), 'must be a list')
    .min(1, 'must not be empty')
    .max(ASSERTION_ALGS.length, 'must not have duplicates')
    .default(['RS256', 'ES256'])
    .describe('Accepted signature algorithms.'),
  bounds: z
    .array(
      z.strictObject({
        tenant: field.tenantId.describe('Tenant that the identities are reserved for.'),
        subject: subject
          .default(null)
          .describe('Subjects that its credentials may name; `*` is one whole segment. null: any.'),
        claims: claims
          .default({})
          .describe('Claims that its credentials must name, each with some of these values.'),
      }),
      'must be a list',
    )
    .default([])
    .describe(
      'Identities that are reserved for tenants. All federated credentials of such a tenant must be within its bounds, and its tenant-admins can add such credentials. For a tenant without bounds, only root, owner and operator can. The bounds of different tenants must not overlap.',
    ),
}

export const federated = z.strictObject({
  type: z.literal('federated').describe('Assertions of an identity provider.'),
  provider: z
    .string('must be text')
    .regex(/^idp_[0-9A-Za-z]{16}$/, 'must be the id of an identity provider')
    .describe('Id of the identity provider.'),
  subject: subject
    .default(null)
    .describe(
      'Accepted subject. `*` stands for one whole segment between `:` or `/`, but does not match the segment `default`. null: any.',
    ),
  claims: claims
    .default({})
    .describe(
      'Claims that an assertion must have, with their accepted values. Each claim is named by its top-level name or by a JSON Pointer. All claims must match. If a claim, or its accepted values, are a list, one equal value is enough.',
    ),
  allow_untrusted_events: field.flag
    .default(false)
    .describe(
      'For the kind `github-actions`: accept jobs of events that a stranger can cause, such as `pull_request`.',
    ),
})
export const publicKey = z.strictObject({
  type: z.literal('public_key').describe('Client assertions (private_key_jwt).'),
  jwks,
  single_use: z
    .enum(SINGLE_USES, `must be one of ${SINGLE_USES.join(', ')}`)
    .default('replica')
    .describe(
      'Where the use of an assertion is remembered. `replica`: it is accepted once by each replica. `database`: once by all of them; each exchange then writes to the database, and is answered 503 without it.',
    ),
})

export const newCredential = z
  .discriminatedUnion('type', [federated, publicKey], 'must have the type federated or public_key')
  .meta({ id: 'NewKeyCredential', description: 'How the holder of a key proves itself without a secret.' })

export function toCredentialSettings(given: z.output<typeof newCredential>): CredentialSettings {
  if (given.type === 'public_key') return { type: given.type, jwks: given.jwks, singleUse: given.single_use }
  const { type, provider: providerId, subject, claims, allow_untrusted_events: allowUntrustedEvents } = given
  return { type, providerId, subject, claims, allowUntrustedEvents }
}

export function credentialToWire({ id, keyId, settings, createdBy, createdAt, lastUsedAt }: KeyCredential) {
  const own =
    settings.type === 'public_key'
      ? { type: settings.type, jwks: settings.jwks, single_use: settings.singleUse ?? 'replica' }
      : {
          type: settings.type,
          provider: settings.providerId,
          subject: settings.subject,
          claims: settings.claims,
          allow_untrusted_events: settings.allowUntrustedEvents,
        }
  return { id, key: keyId, ...own, created_by: createdBy, created_at: createdAt, last_used_at: lastUsedAt }
}
