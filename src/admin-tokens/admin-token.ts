import { isOver } from '../api-keys/key-state.ts'
import type { Change } from '../database/change.ts'
import { versionOf } from '../database/version.ts'
import { Forbidden } from '../errors.ts'

/**
 * admin-tokens/ holds the credentials of administrators: their roles, the tenant they are bound to, and the lookup of
 * presented ones. The rights of a role are defined by the admin API (admin/rights-table.ts).
 */

/**
 * `tenant-admin` is bound to one tenant; the others are not bound. `introspector` has no rights of an administrator: its
 * token is for `POST /oauth/introspect` alone.
 */
export const TOKEN_ROLES = ['owner', 'operator', 'auditor', 'tenant-admin', 'introspector'] as const
export type TokenRole = (typeof TOKEN_ROLES)[number]

export interface AdminToken {
  /** `adm_` and 16 characters: the actor of the audit trail. */
  id: string
  /** For people, not unique. */
  name: string
  role: TokenRole
  /** The one tenant of a tenant-admin. */
  tenantId: string | null
  /** Of an introspector: it may ask about tokens of these audiences. */
  audiences: readonly string[] | null
  /** `root`, or the id of the admin token that issued it. */
  createdBy: string
  createdAt: Date
  /** null: never, where the policy allows it. */
  expiresAt: Date | null
  revokedAt: Date | null
  revokedReason: string | null
  /** Precise to the minute. */
  lastUsedAt: Date | null
}

/** Independent of the last use. */
export const adminTokenVersion = ({ lastUsedAt: _use, ...token }: AdminToken): string => versionOf(token)

/** What replicas must read again when the token changes. */
export const introspectorChanges = ({ id, role }: Pick<AdminToken, 'id' | 'role'>): Change[] =>
  role === 'introspector' ? [{ kind: 'introspector', id }] : []

/** As the target of an audit event. */
export const adminTokenTarget = ({ id, tenantId }: Pick<AdminToken, 'id' | 'tenantId'>) => ({
  targetKind: 'admin-token',
  targetId: id,
  ...(tenantId !== null && { tenantId }),
})

export type AdminTokenState = 'active' | 'expired' | 'revoked'

/** `now` in epoch milliseconds. */
export function adminTokenState(
  token: Pick<AdminToken, 'revokedAt' | 'expiresAt'>,
  now: number,
): AdminTokenState {
  if (token.revokedAt) return 'revoked'
  return isOver(token.expiresAt?.getTime() ?? null, now) ? 'expired' : 'active'
}

/** The holder of the credential that issues a token: root and owners are not bound to a tenant. */
export interface Issuer {
  /** The tenant of a tenant-admin, otherwise null. */
  tenantId: string | null
  expiresAt: Date | null
}

/**
 * A token cannot have more rights than its issuer or outlive the token it was issued with, whatever its role. An issuer
 * bound to a tenant issues tokens of that tenant only.
 * @throws {Forbidden} The message does not depend on whether another tenant exists.
 */
export function refuseEscalation(
  issuer: Issuer,
  wanted: Pick<AdminToken, 'role' | 'tenantId' | 'expiresAt'>,
): void {
  if (issuer.tenantId !== null) refuseOtherTenants(issuer.tenantId, wanted)
  if (issuer.expiresAt && (wanted.expiresAt === null || wanted.expiresAt > issuer.expiresAt)) {
    throw new Forbidden(
      `An admin token cannot create one that outlives it: it expires at ${issuer.expiresAt.toISOString()}, and the ` +
        `new one would ${wanted.expiresAt ? `expire at ${wanted.expiresAt.toISOString()}` : 'never expire'}. ` +
        'Omit expires_at for the same end, or set an earlier one.',
    )
  }
}

function refuseOtherTenants(tenantId: string, wanted: Pick<AdminToken, 'role' | 'tenantId'>): void {
  if (wanted.role !== 'tenant-admin') {
    throw new Forbidden('A tenant-admin can only create tokens with the role tenant-admin.')
  }
  if (wanted.tenantId !== tenantId) {
    throw new Forbidden('A tenant-admin can only create tokens for its own tenant.')
  }
}
