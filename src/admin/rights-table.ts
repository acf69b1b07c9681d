import { TOKEN_ROLES, type TokenRole } from '../admin-tokens/admin-token.ts'

/** Rights over what belongs to one tenant: a role that is bound to a tenant may hold them. */
const TENANT_RIGHTS = [
  'tenants:read',
  'keys:read',
  'keys:write',
  'keys:enable',
  'admin-tokens:read',
  'admin-tokens:write',
] as const
export type TenantRight = (typeof TENANT_RIGHTS)[number]

/** Rights over what all tenants share, or over tenants themselves: only roles that are bound to none hold them. */
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
] as const
export type InstallationRight = (typeof INSTALLATION_RIGHTS)[number]

/** Every right that a route may ask for. A route without one does not compile. */
export type Right = TenantRight | InstallationRight

/** `root` is whoever holds MINTMARK_ROOT_TOKEN; the others are roles of admin tokens. */
export type Role = 'root' | TokenRole

const ALL: readonly Right[] = [...TENANT_RIGHTS, ...INSTALLATION_RIGHTS]

/**
 * Which role has which rights: the one place that says so. The tenant-admin's hold for its own tenant only
 * (route.ts), and its keys:write narrows only (api-keys/narrowing.ts).
 */
const RIGHTS: Record<Role, readonly Right[]> = {
  root: ALL,
  owner: ALL,
  operator: ALL.filter(right => !right.startsWith('admin-tokens:') && right !== 'installation:write'),
  auditor: [...ALL.filter(right => right.endsWith(':read')), 'audit:export'],
  'tenant-admin': ['tenants:read', 'keys:read', 'keys:write', 'admin-tokens:read', 'admin-tokens:write'],
} satisfies Record<Exclude<Role, 'tenant-admin'>, readonly Right[]> & {
  'tenant-admin': readonly TenantRight[]
}

export const mayDo = (role: Role, right: Right): boolean => RIGHTS[role].includes(right)

/** Roles of admin tokens that hold it. */
export const rolesWith = (right: Right): TokenRole[] => TOKEN_ROLES.filter(role => mayDo(role, right))
