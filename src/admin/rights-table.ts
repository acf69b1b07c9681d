import { TOKEN_ROLES, type TokenRole } from '../admin-tokens/admin-token.ts'

/** Rights on objects of one tenant: a role that is bound to a tenant may have them. */
const TENANT_RIGHTS = [
  'caller:read',
  'tenants:read',
  'keys:read',
  'keys:write',
  'keys:enable',
  'admin-tokens:read',
  'admin-tokens:write',
  'usage:read',
  'token-revocations:read',
  'token-revocations:write',
] as const
export type TenantRight = (typeof TENANT_RIGHTS)[number]

/** Rights on shared objects and on tenants themselves: only unbound roles have them. */
const INSTALLATION_RIGHTS = [
  'tenants:write',
  'catalogue:read',
  'catalogue:write',
  'signing-keys:read',
  'signing-keys:rotate',
  'signing-keys:revoke',
  'signing-keys:rewrap',
  'installation:read',
  'installation:write',
  'audit:read',
  'audit:export',
  'clients:import',
  'identity-providers:read',
  'identity-providers:write',
  'usage-reporters:read',
  'usage-reporters:write',
  'sets:read',
  'sets:write',
  'gateways:read',
] as const
export type InstallationRight = (typeof INSTALLATION_RIGHTS)[number]

/** Every right that a route may require. A route without one does not compile. */
export type Right = TenantRight | InstallationRight

/** `root` is the holder of MINTMARK_ROOT_TOKEN; the others are roles of admin tokens. */
export type Role = 'root' | TokenRole

const ALL: readonly Right[] = [...TENANT_RIGHTS, ...INSTALLATION_RIGHTS]

/**
 * The rights of each role, defined only here. A tenant-admin's rights apply to its own tenant (route.ts), and its
 * keys:write can only restrict (api-keys/restriction.ts).
 */
const RIGHTS: Record<Role, readonly Right[]> = {
  root: ALL,
  owner: ALL,
  operator: ALL.filter(right => !right.startsWith('admin-tokens:') && right !== 'installation:write'),
  auditor: [...ALL.filter(right => right.endsWith(':read')), 'audit:export'],
  introspector: [],
  'tenant-admin': TENANT_RIGHTS.filter(right => right !== 'keys:enable'),
} satisfies Record<Exclude<Role, 'tenant-admin'>, readonly Right[]> & {
  'tenant-admin': readonly TenantRight[]
}

export const rightsOf = (role: Role): readonly Right[] => RIGHTS[role]

export const mayDo = (role: Role, right: Right): boolean => RIGHTS[role].includes(right)

/** Whether the right is one to change something. */
export const mayChange = (right: Right): boolean => !/:(read|export)$/.test(right)

/** Roles of admin tokens that have the right. */
export const rolesWith = (right: Right): TokenRole[] => TOKEN_ROLES.filter(role => mayDo(role, right))
