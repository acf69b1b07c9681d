import { z } from 'zod'
import { TOKEN_ROLES } from '../../admin-tokens/admin-token.ts'
import { instant, names, tenantId } from './wire.ts'

export const whoamiBody = z
  .strictObject({
    id: z.string().describe('`root`, or the id of the admin token.'),
    role: z.enum(['root', ...TOKEN_ROLES]).describe('Role, which determines the rights.'),
    tenant: tenantId.nullable().describe('Tenant of a tenant-admin; null for every other role.'),
    expires_at: instant.nullable().describe('Time of expiry of the token; null: never.'),
    rights: names.describe('Rights of the role. Those of a tenant-admin apply to its tenant.'),
    installation: z
      .strictObject({
        id: z.string().describe('Id of the installation.'),
        issuer: z.string().describe('Issuer: the `iss` of its tokens.'),
      })
      .describe('The installation that answers.'),
  })
  .meta({
    id: 'Caller',
    description: 'The identity of the caller.',
    examples: [
      {
        id: 'adm_2Vb6Nc4RtY8wQk3Z',
        role: 'tenant-admin',
        tenant: 'acme',
        expires_at: '2027-11-24T09:00:00.000Z',
        rights: ['tenants:read', 'keys:read', 'keys:write'],
        installation: { id: '0198f0a2-7c1e-7d5b-9a43-5f2b1c8e6d70', issuer: 'https://tokens.example.com' },
      },
    ],
  })
