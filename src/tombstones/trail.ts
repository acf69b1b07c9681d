import type { AuditRow } from '../audit/audit-chain.ts'
import { nameOf, type Tombstone, type TombstoneKind } from './tombstone.ts'

/** Done by Mintmark itself, without an effect on a restored database, or by the operator of a restore. */
const NOTHING_TO_REPEAT =
  /^(audit|restore|emergency|exchange|authorization|usage|signing-key|token-revocation)\.|\.(seal|reseal|release|adopt)$/

/** The new secret is not in a restored database. */
const ROTATION = /^(key|usage-reporter)\.rotate$/

/** What an exported audit trail has as ended by these rows, in their order. */
export function endedBy(rows: Iterable<AuditRow>): Tombstone[] {
  const ended = new Map<string, Tombstone>()
  for (const row of rows) {
    if (row.outcome !== 'done') continue
    for (const tombstone of endsOf(row)) ended.set(nameOf(tombstone), tombstone)
    for (const name of takenBackBy(row)) ended.delete(name)
  }
  return [...ended.values()]
}

/** The rows whose change is not in a restored database, and is not repeated by tombstones. */
export const changesToRepeat = (rows: readonly AuditRow[]): AuditRow[] =>
  rows.filter(row => {
    const isOnlyAnEnd = !ROTATION.test(row.action) && endsOf(row).length > 0
    return row.outcome === 'done' && !isOnlyAnEnd && !NOTHING_TO_REPEAT.test(row.action)
  })

function endsOf(row: AuditRow): Tombstone[] {
  const { action, target_id: id, tenant, changes } = row
  const at = Date.parse(row.at)
  const target = (kind: TombstoneKind, owner: string | null = null): Tombstone[] => [{ kind, id, owner, at }]
  /** Of a key. */
  const part = (kind: TombstoneKind, of: unknown): Tombstone[] =>
    typeof of === 'string' ? [{ kind, id: of, owner: id, at }] : []
  switch (action) {
    case 'key.revoke':
      return target('key_revoked', tenant)
    case 'key.disable':
      return target('key_disabled', tenant)
    case 'key.secret-revoke':
      return part('secret_ended', changes.secretId?.to)
    case 'key.rotate':
    case 'key.secret-confirm':
      return secretEnds('secret_ended', row)
    case 'key.credential-delete':
      return part('credential_deleted', changes.credentialId?.from)
    case 'tenant.suspend':
      return target('tenant_suspended')
    case 'tenant.delete':
      return target('tenant_deleted')
    case 'signing-key.revoke':
    case 'signing-key.discard':
      return target('signing_key_revoked')
    case 'admin-token.revoke':
      return target('admin_token_revoked', tenant)
    case 'identity-provider.delete':
      return target('provider_deleted')
    case 'usage-reporter.delete':
      return target('usage_reporter_deleted')
    case 'usage-reporter.secret-revoke':
      return part('usage_reporter_secret_ended', changes.secretId?.to)
    case 'usage-reporter.rotate':
      return secretEnds('usage_reporter_secret_ended', row)
    default:
      return []
  }
}

function takenBackBy({ action, target_id: id }: AuditRow): string[] {
  if (action === 'key.enable') return [nameOf({ kind: 'key_disabled', id })]
  if (action === 'tenant.resume') return [nameOf({ kind: 'tenant_suspended', id })]
  return []
}

function secretEnds(kind: TombstoneKind, { target_id: owner, changes }: AuditRow): Tombstone[] {
  const ends: unknown = changes.secretEnds?.to
  return (Array.isArray(ends) ? ends : []).map(({ id, endsAt }: { id: string; endsAt: string }) => ({
    ...{ kind, id, owner },
    at: Date.parse(endsAt),
  }))
}
