import { z } from 'zod'
import { TOKEN_ROLES } from '../../admin-tokens/admin-token.ts'
import { credentialId } from './identity-body.ts'
import {
  adminTokenId,
  count,
  credential,
  instant,
  keyId,
  namedKeys,
  names,
  secretGone,
  secretId,
  tenantId,
} from './wire.ts'

const fields = {
  id: adminTokenId.describe('Id of the admin token.'),
  name: z.string().describe('Display name.'),
  role: z.enum(TOKEN_ROLES).describe('Role, which determines the rights of the token.'),
  tenant: tenantId.nullable().describe('Tenant of a tenant-admin; null for every other role.'),
  audiences: names.nullable().describe('Audiences of an introspector; null for every other role.'),
  state: z.enum(['active', 'expired', 'revoked']).describe('Only an active token is accepted.'),
  expires_at: instant.nullable().describe('Time of expiry; null: never.'),
  created_by: z.string().describe('`root`, or the id of the admin token that created this token.'),
  created_at: instant.describe('Time of creation.'),
  last_used_at: instant
    .nullable()
    .describe(
      'Time of the last request with this token, to the minute; null: never used. It is not recorded for an introspector.',
    ),
  revoked_at: instant.nullable().describe('Time of revocation; null: not revoked.'),
  revoked_reason: z.string().nullable().describe('Reason given at the revocation.'),
}

const example = {
  id: 'adm_2Vb6Nc4RtY8wQk3Z',
  name: 'platform team',
  role: 'operator',
  tenant: null,
  audiences: null,
  state: 'active',
  expires_at: '2027-11-24T09:00:00.000Z',
  created_by: 'root',
  created_at: '2026-11-24T09:00:00.000Z',
  last_used_at: null,
  revoked_at: null,
  revoked_reason: null,
} as const

export const adminTokenBody = z.strictObject(fields).meta({
  id: 'AdminToken',
  description: 'A token that authenticates an administrator.',
  examples: [example],
})

const withSecret = z
  .strictObject({
    ...fields,
    secret: z
      .union([credential('mma'), credential('mmi')])
      .describe('The token itself, for `Authorization: Bearer`. Store it now: it is not returned again.'),
  })
  .meta({
    id: 'AdminTokenWithSecret',
    description: 'A new admin token with its secret. The secret is returned once; only its HMAC is stored.',
    examples: [
      { ...example, secret: 'mma_2Vb6Nc4RtY8wQk3Z_0000000000000000000000000000000000000000000000000' },
    ],
  })

export const reissuedAdminTokenBody = z.strictObject({ ...fields, ...secretGone }).meta({
  id: 'AdminTokenWithoutSecret',
  description:
    'Response to a repeated request (same `Idempotency-Key`). Only the first response contained the secret.',
})

export const issuedAdminTokenBody = z.union([withSecret, reissuedAdminTokenBody])

const dryRun = z
  .strictObject({
    dry_run: z.literal(true).describe('Always true: nothing was revoked.'),
    would_revoke: count.describe('Number of admin tokens that the request would revoke.'),
    would_revoke_keys: count.describe('Number of keys that these tokens created; the count stops at 10,000.'),
    would_revoke_secrets: count.describe(
      'Number of secrets that they added to keys of others by rotation, at most 10,000.',
    ),
    would_delete_credentials: count.describe(
      'Number of credentials (public keys, and rules for workloads) that they added to keys of others, at most 10,000.',
    ),
    admin_tokens: z
      .array(
        z.strictObject({
          id: fields.id,
          name: fields.name,
          role: fields.role,
        }),
      )
      .describe('The first 100 of the admin tokens.'),
    keys: namedKeys.describe('The first 100 of the keys.'),
    secrets: z
      .array(
        z.strictObject({
          id: secretId.describe('Id of the secret.'),
          key: keyId.describe('Id of its key, which stays valid.'),
          tenant: tenantId.describe('Id of the tenant of the key.'),
        }),
      )
      .describe('The first 100 of the secrets.'),
    credentials: z
      .array(
        z.strictObject({
          id: credentialId.describe('Id of the credential.'),
          key: keyId.describe('Id of its key, which stays valid.'),
          tenant: tenantId.describe('Id of the tenant of the key.'),
        }),
      )
      .describe('The first 100 of the credentials.'),
  })
  .meta({
    id: 'AdminTokenRevocationDryRun',
    description: 'Result of a dry run of a revocation of admin tokens.',
  })

const withCascade = z
  .strictObject({
    ...fields,
    cascade: z
      .strictObject({
        admin_tokens: count.describe(
          'Number of admin tokens revoked by this request, without the token itself.',
        ),
        keys: count.describe('Number of keys revoked by this request.'),
        secrets: count.describe('Number of secrets of other keys revoked by this request.'),
        credentials: count.describe('Number of credentials of other keys deleted by this request.'),
        left: count.describe('Number of objects that are still live. Repeat the request until it is 0.'),
      })
      .describe('What was revoked with it.'),
  })
  .meta({
    id: 'AdminTokenCascade',
    description: 'A revoked admin token, and what was revoked with it.',
  })

export const revokedAdminTokenBody = z.union([withCascade, adminTokenBody, dryRun])
