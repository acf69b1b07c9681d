import type { TestService } from '../support/test-service.ts'

export const ROLES = ['owner', 'operator', 'auditor', 'tenant-admin'] as const
export type IssuedRole = (typeof ROLES)[number]

/** A caller of the admin API: `id` is the actor in the audit trail. */
export interface Caller {
  id: string
  secret: string
  call: TestService['admin']
}

/** Issues an admin token as root; `tenant` is for a tenant-admin. */
export async function issue(
  mintmark: TestService,
  role: IssuedRole,
  tenant: string | null = null,
  more: object = {},
): Promise<Caller> {
  const { status, body, text } = await mintmark.admin('POST', '/admin-tokens', { role, tenant, ...more })
  if (status !== 201) throw new Error(`no admin token: ${text}`)
  return callerOf(mintmark, body)
}

/** Calls with an issued admin token. */
export function callerOf(mintmark: TestService, { id, secret }: { id: string; secret: string }): Caller {
  const call: TestService['admin'] = (method, path, body, headers) =>
    mintmark.admin(method, path, body, { authorization: `Bearer ${secret}`, ...headers })
  return { id, secret, call }
}
