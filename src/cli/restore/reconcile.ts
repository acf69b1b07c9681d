import type { Tombstone } from '../../tombstones/tombstone.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import type { Output } from '../output.ts'
import { PLAN, planned } from './plan.ts'
import { type RestoredDatabase, withRestoredDatabase } from './restored-database.ts'

export interface ReconcileOptions {
  apply?: boolean
  /** Ids. */
  waive?: string[]
  reason?: string
  /** Files with exported audit trails. */
  trail?: string[]
}

/** In the audit trail: a person with the environment of the service can do what root can. */
const ACTOR = { id: 'root' }

/** Prints the plan, and carries it out with `apply`. @throws {CliError} */
export async function reconcileRestore(
  environment: NodeJS.ProcessEnv,
  options: ReconcileOptions,
  output: Output,
): Promise<void> {
  const { waive = [], reason, trail = [] } = options
  if (waive.length > 0 && reason === undefined)
    throw new CliError(EXIT.usage, '--waive needs --reason, for the audit trail.')
  await withRestoredDatabase(environment, trail, async restored => {
    const { tombstones } = restored
    if (!tombstones.isUnreconciled) return output.note('Nothing to reconcile: no restore is open.')
    const pending = tombstones.pendingTombstones
    const waived = new Set(waive)
    const unknown = waive.filter(id => !pending.some(tombstone => tombstone.id === id))
    if (unknown.length > 0)
      throw new CliError(
        EXIT.notFound,
        `the plan does not have ${unknown.join(', ')}: "mintmark restore reconcile" prints it.`,
      )
    await output.list(planned(pending, waived), PLAN)
    if (options.apply !== true) return output.note('Nothing was changed. Repeat with --apply.')
    await carryOut(restored, pending, { waived, reason: reason ?? '' }, output)
  })
}

async function carryOut(
  { tombstones, reconciliation }: RestoredDatabase,
  pending: readonly Tombstone[],
  { waived, reason }: { waived: ReadonlySet<string>; reason: string },
  output: Output,
): Promise<void> {
  // Known from snapshots only: from now on replicas refuse it too.
  await tombstones.store()
  const left = pending.filter(({ id }) => waived.has(id))
  if (left.length > 0) await reconciliation.waive(ACTOR, left, reason)
  const applied: Tombstone[] = []
  const failures: string[] = []
  for (const tombstone of pending.filter(({ id }) => !waived.has(id))) {
    try {
      await reconciliation.apply(ACTOR, tombstone)
      applied.push(tombstone)
    } catch (error) {
      failures.push(`${tombstone.id}: ${(error as Error).message}`)
    }
  }
  const closed = await reconciliation.finish(ACTOR, applied)
  output.note(`Ended ${applied.length} objects again, waived ${left.length}.`)
  if (failures.length > 0)
    throw new CliError(
      EXIT.conflict,
      `${failures.length} objects stay refused, and the restore open:`,
      failures,
    )
  if (closed === 0) output.note('The restore stays open: another replica added objects. Repeat the command.')
}
