/** Every right that a route may ask for. A route without one does not compile. */
export type Right =
  | 'tenants:read'
  | 'tenants:write'
  | 'keys:read'
  | 'keys:write'
  | 'catalogue:read'
  | 'catalogue:write'
  | 'signing-keys:read'
  | 'signing-keys:rotate'
  | 'signing-keys:revoke'
  | 'signing-keys:rewrap'
  | 'installation:read'
  | 'installation:write'

export type Role = 'root'

/** Which role has which rights. */
const RIGHTS: Record<Role, ReadonlySet<Right> | 'all'> = { root: 'all' }

export const mayDo = (role: Role, right: Right): boolean => {
  const rights = RIGHTS[role]
  return rights === 'all' || rights.has(right)
}
