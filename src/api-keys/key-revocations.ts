import { type Actor, type FieldChanges, fieldChanges } from '../audit/audit-event.ts'
import { mutate } from '../audit/audit-log.ts'
import type { Database, Handle } from '../database/database.ts'
import { getTenant } from '../tenants/tenants.ts'
import type { ApiKey } from './api-key.ts'
import type { KeyFilter } from './key-filter.ts'
import { countUnrevoked, findUnrevoked, setRevoked } from './key-revocation-repository.ts'

/**
 * How many keys one call revokes: its transaction holds the lock of the change counter for about as long as it takes to
 * write an audit row for each, and nothing else can be changed meanwhile.
 */
const MOST_REVOKED_AT_ONCE = 500
/** Where counting what is left ends, so that it takes no longer the more there are. */
const MOST_COUNTED = 10_000

/** What was revoked, or would be first, newest first; and how many more, at most MOST_COUNTED. */
export interface BulkRevocation {
  keys: readonly ApiKey[]
  left: number
}

/** Revokes many keys: as many at a time as a short transaction takes, so whoever asks goes on until none is left. */
export class KeyRevocations {
  readonly #database: Database

  constructor(options: { database: Database }) {
    this.#database = options.database
  }

  /** What `revoke` would do now, and how many there are in all. @throws {NotFound} when there is no such tenant. */
  rehearse(filter: KeyFilter): Promise<BulkRevocation> {
    return this.#database.readSnapshot(async trx => {
      await requireTenant(trx, filter)
      const keys = await findUnrevoked(trx, filter, { limit: MOST_REVOKED_AT_ONCE, lock: false })
      return { keys, left: await countUnrevoked(trx, filter, MOST_COUNTED) }
    })
  }

  /** For good, disabled and expired ones too, each with its own audit row. @throws {NotFound} as `rehearse`. */
  revoke(actor: Actor, filter: KeyFilter, reason: string | null): Promise<BulkRevocation> {
    return mutate(this.#database, actor, async ({ trx, record }) => {
      await requireTenant(trx, filter)
      const keys = await findUnrevoked(trx, filter, { limit: MOST_REVOKED_AT_ONCE, lock: true })
      await setRevoked(
        trx,
        keys.map(({ id }) => id),
        reason,
      )
      for (const key of keys) {
        const { id, tenantId } = key
        const changes = revocationChanges(key, reason)
        record(
          { action: 'key.revoke', targetKind: 'key', targetId: id, tenantId, changes },
          { kind: 'key', id },
        )
      }
      // Asked for always: where others revoke the same keys meanwhile, few are found although many are left.
      return { keys, left: await countUnrevoked(trx, filter, MOST_COUNTED) }
    })
  }
}

/** What becomes of a key's fields: it names nothing any more. */
export function revocationChanges({ tier, models, adapters }: ApiKey, reason: string | null): FieldChanges {
  const kept = { tier: null, models: models && [], adapters: adapters && [] }
  return fieldChanges({ tier, models, adapters, revokedReason: null }, { ...kept, revokedReason: reason })
}

async function requireTenant(db: Handle, { tenantId }: KeyFilter): Promise<void> {
  if (tenantId !== undefined) await getTenant(db, tenantId)
}
