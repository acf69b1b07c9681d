import { type Actor, type FieldChanges, fieldChanges } from '../audit/audit-event.ts'
import { type Mutation, mutate } from '../audit/audit-log.ts'
import type { Database, Handle } from '../database/database.ts'
import type { RowSeals } from '../installation/row-seals.ts'
import { getTenant } from '../tenants/tenants.ts'
import type { ApiKey } from './api-key.ts'
import type { KeyFilter } from './key-filter.ts'
import { countUnrevoked, findUnrevoked, setRevoked } from './key-revocation-repository.ts'

/**
 * Maximum number of keys per call: its transaction holds the lock of the change counter while it writes an audit row
 * for each key, which blocks all other changes.
 */
const MOST_REVOKED_AT_ONCE = 500
/** Limit of counting the remaining keys, to bound its time. */
const MOST_COUNTED = 10_000

/** The keys revoked, or to be revoked, newest first; and the number of remaining ones, at most MOST_COUNTED. */
export interface BulkRevocation {
  keys: readonly ApiKey[]
  left: number
}

/**
 * Revokes many keys, as many per call as fit in a short transaction; the caller repeats the call until none is left.
 */
export class KeyRevocations {
  readonly #database: Database
  readonly #seals: RowSeals

  constructor(options: { database: Database; seals: RowSeals }) {
    this.#database = options.database
    this.#seals = options.seals
  }

  /** The result that `revoke` would have now, and the total. @throws {NotFound} when the tenant does not exist. */
  rehearse(filter: KeyFilter): Promise<BulkRevocation> {
    return this.#database.readSnapshot(async trx => {
      await requireTenant(trx, filter)
      const keys = await findUnrevoked(trx, filter, { limit: MOST_REVOKED_AT_ONCE, lock: false })
      return { keys, left: await countUnrevoked(trx, filter, MOST_COUNTED) }
    })
  }

  /**
   * Irreversible; includes disabled and expired keys. Each key has its own audit row. @throws {NotFound} as `rehearse`.
   */
  revoke(actor: Actor, filter: KeyFilter, reason: string | null): Promise<BulkRevocation> {
    return mutate(this.#database, actor, async ({ trx, record }) => {
      await requireTenant(trx, filter)
      const keys = await findUnrevoked(trx, filter, { limit: MOST_REVOKED_AT_ONCE, lock: true })
      await revokeLocked({ trx, record }, this.#seals, keys, reason)
      // Always counted: when others revoke the same keys concurrently, few are found here although many remain.
      return { keys, left: await countUnrevoked(trx, filter, MOST_COUNTED) }
    })
  }
}

/** Revokes keys that the transaction has locked, each with its own audit row. */
export async function revokeLocked(
  { trx, record }: Pick<Mutation, 'trx' | 'record'>,
  seals: RowSeals,
  keys: readonly ApiKey[],
  reason: string | null,
): Promise<void> {
  await setRevoked(
    trx,
    seals,
    keys.map(({ id }) => id),
    reason,
  )
  for (const key of keys) {
    const { id, tenantId } = key
    const changes = revocationChanges(key, reason)
    record({ action: 'key.revoke', targetKind: 'key', targetId: id, tenantId, changes }, { kind: 'key', id })
  }
}

/** The field changes of a revocation: the key's lists are emptied. */
export function revocationChanges({ tier, models, adapters }: ApiKey, reason: string | null): FieldChanges {
  const kept = { tier: null, models: models && [], adapters: adapters && [] }
  return fieldChanges({ tier, models, adapters, revokedReason: null }, { ...kept, revokedReason: reason })
}

async function requireTenant(db: Handle, { tenantId }: KeyFilter): Promise<void> {
  if (tenantId !== undefined) await getTenant(db, tenantId)
}
