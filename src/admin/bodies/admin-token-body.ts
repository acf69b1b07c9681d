import { z } from 'zod'
import { TOKEN_ROLES } from '../../admin-tokens/admin-token.ts'
import { adminTokenId, count, credential, instant, secretGone, tenantId } from './wire.ts'

const fields = {
  id: adminTokenId,
  name: z.string(),
  role: z.enum(TOKEN_ROLES),
  tenant: tenantId.nullable().describe('The one tenant of a tenant-admin.'),
  state: z.enum(['active', 'expired', 'revoked']),
  expires_at: instant.nullable(),
  created_by: z.string().describe('`root`, or the admin token that issued it.'),
  created_at: instant,
  last_used_at: instant.nullable().describe('To the minute.'),
  revoked_at: instant.nullable(),
  revoked_reason: z.string().nullable(),
}

const example = {
  id: 'adm_2Vb6Nc4RtY8wQk3Z',
  name: 'platform team',
  role: 'operator',
  tenant: null,
  state: 'active',
  expires_at: '2027-11-24T09:00:00.000Z',
  created_by: 'root',
  created_at: '2026-11-24T09:00:00.000Z',
  last_used_at: null,
  revoked_at: null,
  revoked_reason: null,
} as const

export const adminTokenBody = z
  .strictObject(fields)
  .meta({ id: 'AdminToken', description: 'Who may administer beside root.', examples: [example] })

const withSecret = z.strictObject({ ...fields, secret: credential('mma') }).meta({
  id: 'AdminTokenWithSecret',
  description: 'The one answer that has the secret in it. It is not kept.',
  examples: [
    { ...example, secret: 'mma_2Vb6Nc4RtY8wQk3Z_0000000000000000000000000000000000000000000000000' },
  ],
})

export const reissuedAdminTokenBody = z.strictObject({ ...fields, ...secretGone }).meta({
  id: 'AdminTokenWithoutSecret',
  description: 'What a repetition under an Idempotency-Key gets: the secret was told once.',
})

export const issuedAdminTokenBody = z.union([withSecret, reissuedAdminTokenBody])

const rehearsal = z
  .strictObject({ dry_run: z.literal(true), would_revoke: count })
  .meta({ id: 'AdminTokenRevocationRehearsal' })

export const revokedAdminTokenBody = z.union([adminTokenBody, rehearsal])
