import type { AdminClient } from '../../admin-client.ts'
import { CliError, EXIT } from '../../exit-codes.ts'
import type { Caller } from './whoami.ts'

/** The tenant to which the admin token is bound; its lists have this tenant only. Undefined: they have all tenants. */
export async function tenantOfCaller(admin: AdminClient): Promise<string | undefined> {
  const { tenant } = await admin.get<Caller>('/whoami')
  return tenant ?? undefined
}

/**
 * `what`: the beginning of the message, such as "--envoy-file needs the revocations".
 * @throws {CliError} for an admin token that is bound to a tenant: a part of the list must not be taken for the whole.
 */
export async function requireAllTenants(admin: AdminClient, what: string): Promise<void> {
  const tenant = await tenantOfCaller(admin)
  if (tenant === undefined) return
  throw new CliError(
    EXIT.refused,
    `${what} of all tenants, and this admin token lists those of ${tenant} only. Use one with the role auditor, operator or owner.`,
  )
}
