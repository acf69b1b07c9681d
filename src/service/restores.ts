import { SYSTEM } from '../audit/audit-event.ts'
import type { Metrics } from '../system/metrics.ts'
import type { Tombstones } from '../tombstones/tombstones.ts'
import type { Parts } from './parts.ts'

/** Why an operator has to act although the service is ready; undefined: nothing. */
export function restoreWarning(tombstones: Tombstones): string | undefined {
  if (!tombstones.isUnreconciled) return undefined
  const { pending } = tombstones
  const refused =
    pending === 0
      ? 'Nothing that ended after the backup is usable again as far as replicas know'
      : `${pending} objects that ended after the backup are refused here although they are usable again in the database`
  return `The database was restored to an older state. ${refused}. Run "mintmark restore reconcile" (docs/guides/restore.md).`
}

/** Stores a restore that this process noticed, and lets keys whose epoch it denies have tokens again. */
export async function storeRestore({
  trust,
  administration,
}: Pick<Parts, 'trust' | 'administration'>): Promise<void> {
  if (trust.tombstones.detected) await administration.tokenRevocations.renewDenied(SYSTEM)
  await trust.tombstones.store()
}

export function registerRestores(metrics: Metrics, tombstones: Tombstones): void {
  metrics.gauge(
    'mintmark_restore_unreconciled',
    '1 after a restore of the database to an older state, until "mintmark restore reconcile --apply", else 0.',
    'max',
    () => tombstones.isUnreconciled,
  )
  metrics.gauge(
    'mintmark_tombstones_pending',
    'Objects that this replica refuses although the restored database says that they are usable.',
    'max',
    () => tombstones.pending,
  )
}
