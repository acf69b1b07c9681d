import { readRestores } from '../../tombstones/restore-repository.ts'
import type { Tombstone } from '../../tombstones/tombstone.ts'
import { readState, writtenAt } from '../../tombstones/tombstone-repository.ts'
import { changesToRepeat } from '../../tombstones/trail.ts'
import { moment, type Output } from '../output.ts'
import type { LostPart } from './audit-trails.ts'
import { planned } from './plan.ts'
import { type RestoredDatabase, withRestoredDatabase } from './restored-database.ts'

const MOST_RESTORES = 10

/** What no tombstone has, because it is not an end. */
const NOT_COVERED = [
  'rights, limits and expiry dates of API keys and tenants that were lowered: they are as in the backup',
  'the policy, tiers, models, adapters and identity providers that were changed or deleted: they are as in the backup',
  'tenants, API keys, secrets and admin tokens that were created: they are gone, and refused as unknown',
  'signing keys that were created: they left the JWKS',
]
/** What tombstones have. */
const COVERED = [
  'API keys that were revoked or disabled',
  'secrets that ended by a rotation or were revoked',
  'tenants that were suspended or deleted',
  'admin tokens that were revoked',
  'signing keys that were revoked',
  'credentials, identity providers and usage reporters that were deleted',
]

/** Prints whether the database was restored, what is refused since, and what cannot be known. @throws {CliError} */
export async function showRestore(
  environment: NodeJS.ProcessEnv,
  trails: readonly string[],
  output: Output,
): Promise<void> {
  const found = await withRestoredDatabase(environment, trails, survey)
  const { pending, unknown, ...status } = found
  await output.either({
    text: linesOf(found).join('\n'),
    json: { ...status, pending, unknown },
    id: status.state,
  })
}

const LATER_ROWS =
  'The database has that row or later ones: only single tables were restored, or it was changed after the restore.'

type Found = Awaited<ReturnType<typeof survey>>

async function survey({ storage, tombstones, memories, lost }: RestoredDatabase) {
  const { database } = storage
  const { mark } = await database.run(readState)
  const lastRowAt = await database.run(db => writtenAt(db, mark.id))
  const restores = await database.run(db => readRestores(db, MOST_RESTORES))
  const { detected, pendingTombstones: pending, isUnreconciled } = tombstones
  const isCompared = memories.length > 0 || restores.length > 0 || lost !== undefined
  return {
    state: isUnreconciled ? 'unreconciled' : isCompared ? 'in order' : 'unknown',
    last_row: mark.id,
    last_row_at: lastRowAt,
    restores: restores.map(({ id, noticedAt, noticedBy, known, knownAt, found, reconciledAt }) => ({
      id,
      noticed_at: noticedAt.toISOString(),
      noticed_by: noticedBy,
      known_row: known.id,
      known_at: knownAt.toISOString(),
      found_row: found.id,
      reconciled_at: reconciledAt?.toISOString() ?? null,
    })),
    /** By snapshots and trails alone: no replica has stored it yet. */
    not_stored: detected
      ? {
          known_row: detected.memory.mark.id,
          known_at: new Date(detected.memory.seenAt).toISOString(),
          known_by: detected.memory.writer,
          found_row: detected.found.id,
        }
      : null,
    snapshots: memories.map(({ writer, mark, seenAt }) => ({
      writer,
      row: mark.id,
      seen_at: new Date(seenAt).toISOString(),
    })),
    /** By exported audit trails: what the database lost. */
    trail: lost ? lostInTrail(lost) : null,
    pending: pending as readonly Tombstone[],
    unknown: lost ? unknownAfter(lost) : isCompared ? NOT_COVERED : [...COVERED, ...NOT_COVERED],
  }
}

function lostInTrail({ common, rows }: LostPart) {
  return {
    common_row: common.id,
    lost_rows: rows.length,
    changes: changesToRepeat(rows).map(({ id, at, action, target_kind, target_id }) => ({
      row: id,
      at,
      action,
      target: `${target_kind} ${target_id}`,
    })),
  }
}

const unknownAfter = ({ memory: { mark, seenAt } }: LostPart) => [
  `everything after row ${mark.id} of ${moment(new Date(seenAt).toISOString())}, the last one of the audit trail`,
  'issued tokens that were ended: they are valid until they expire',
]

function linesOf(found: Found) {
  const { state, last_row, last_row_at, restores, not_stored, snapshots, trail, pending, unknown } = found
  const lines = [`The last change in the database is audit row ${last_row} of ${moment(last_row_at ?? '-')}.`]
  for (const { noticed_at, noticed_by, known_row, known_at, found_row, reconciled_at } of restores)
    lines.push(
      `Restored to row ${found_row}, noticed at ${moment(noticed_at)} by ${noticed_by}, which knew row ${known_row} and everything until ${moment(known_at)}. ${reconciled_at === null ? 'Not reconciled.' : `Reconciled at ${moment(reconciled_at)}.`}`,
      ...(found_row >= known_row ? [LATER_ROWS] : []),
    )
  if (not_stored)
    lines.push(
      `Restored to row ${not_stored.found_row} or before: ${not_stored.known_by} knew row ${not_stored.known_row} and everything until ${moment(not_stored.known_at)}. No replica has noticed it yet.`,
    )
  lines.push(
    snapshots.length === 0
      ? 'No snapshot was compared: MINTMARK_SNAPSHOT_DIR is not set, or has none of this installation.'
      : `Compared with ${snapshots.length} snapshots, the newest of ${moment(newest(snapshots))}.`,
  )
  if (trail)
    lines.push(
      `The audit trail has ${trail.lost_rows} rows after row ${trail.common_row}, the last one that the database has too.`,
    )
  if (state === 'unknown')
    lines.push(
      'No memory of a later state was found. If this database was restored, it cannot be known what happened after that row:',
    )
  else if (trail && not_stored)
    lines.push(`${pending.length} objects had ended, and are usable again in the database:`)
  else lines.push(`${pending.length} objects are refused although they are usable again in the database.`)
  for (const { id, ended_at, action } of planned(pending))
    lines.push(`- ${id}, ended at ${moment(ended_at)}: ${action}`)
  if (trail && trail.changes.length > 0)
    lines.push(
      'Changes that the database lost, to be made again:',
      ...trail.changes.map(
        ({ row, at, action, target }) => `- row ${row} of ${moment(at)}: ${action} ${target}`,
      ),
    )
  if (state === 'unreconciled') lines.push('What cannot be known of the time after the backup:')
  if (state !== 'in order') lines.push(...unknown.map(line => `- ${line}`))
  if (state === 'unknown')
    lines.push(
      'An exported audit trail (--trail) and the log of each replica have it: docs/guides/restore.md.',
    )
  return lines
}

const newest = (snapshots: Found['snapshots']) =>
  snapshots
    .map(({ seen_at }) => seen_at)
    .toSorted()
    .at(-1) ?? '-'
