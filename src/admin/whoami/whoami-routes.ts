import type { Database } from '../../database/database.ts'
import { readInstallation } from '../../installation/installation.ts'
import { ok } from '../answer.ts'
import { whoamiBody } from '../bodies/whoami-body.ts'
import { rightsOf } from '../rights-table.ts'
import { type AdminRoute, route } from '../route.ts'

/** Who the caller is here, so that a person can see it before changing something. */
export function whoamiRoutes({ database }: { database: Database }): AdminRoute[] {
  return [
    route({
      operation: 'getCaller',
      summary: 'Get the caller',
      details:
        'The installation that answers, and the id, role, tenant, expiry and rights of the token that authenticates the request.',
      answers: { 200: whoamiBody },
      method: 'get',
      path: '/whoami',
      right: 'caller:read',
      target: 'scoped by the handler',
      handle: async ({ admin }) => {
        const { id, issuer } = await database.run(readInstallation)
        return ok({
          id: admin.id,
          role: admin.role,
          tenant: admin.tenantId,
          expires_at: admin.expiresAt,
          rights: rightsOf(admin.role),
          installation: { id, issuer },
        })
      },
    }),
  ]
}
