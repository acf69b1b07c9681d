import type { Actor } from '../audit/audit-event.ts'
import { mutate } from '../audit/audit-log.ts'
import type { Database } from '../database/database.ts'
import { databaseNow } from '../database/database-time.ts'
import { Conflict, NotFound } from '../errors.ts'
import type { CurrentPolicy } from '../installation/current-policy.ts'
import {
  addCorrectedHour,
  closeBefore,
  correctClosed,
  hasLateRecords,
  lockVoid,
  MOST_HOURS_LATE,
  openHoursOf,
  type Removed,
  readOpenFrom,
  recomputeHour,
  setVoidedSince,
  takeBackRecords,
} from './usage-correction-repository.ts'
import { HOUR_MS } from './usage-record.ts'
import { lockLedger, SLOTS, shareLedger } from './usage-record-repository.ts'
import { usageReporterTarget } from './usage-reporter.ts'
import { findReporter, lockReporter } from './usage-reporter-repository.ts'

/** Hours that are read at once. */
const HOURS_A_PAGE = 500

/** Changes to what was counted: a month is closed, or what a reporter sent is taken back. */
export class UsageCorrections {
  readonly #database: Database
  readonly #policy: CurrentPolicy

  constructor(options: { database: Database; policy: CurrentPolicy }) {
    this.#database = options.database
    this.#policy = options.policy
  }

  /**
   * Closes this month and all before it: their totals never change again, and what still arrives is booked in the hour
   * of its arrival. `month` is `2026-11`, in UTC. Idempotent. @throws {Conflict} while it is not over.
   */
  closeMonth(actor: Actor, month: string): Promise<{ closedBefore: Date }> {
    return mutate(this.#database, actor, async ({ trx, record }) => {
      const [year = 0, number = 0] = month.split('-').map(Number)
      const end = new Date(Date.UTC(year, number, 1))
      if (end.getTime() > (await databaseNow(trx)))
        throw new Conflict('month_not_over', `The month ${month} is not over. Close it afterwards.`)
      await lockLedger(trx)
      const before = await readOpenFrom(trx, this.#policy.policy.usageDedupSeconds)
      const closedBefore = await closeBefore(trx, end)
      if (end > before) {
        const changes = { closed_before: { from: before.toISOString(), to: end.toISOString() } }
        record({ action: 'usage.close', targetKind: 'usage', targetId: month, changes })
      }
      return { closedBefore: closedBefore > before ? closedBefore : before }
    })
  }

  /** @throws {NotFound} */
  async reporterExists(id: string): Promise<true> {
    const reporter = await this.#database.run(db => findReporter(db, id))
    if (!reporter) throw new NotFound('usage reporter', id)
    return true
  }

  /**
   * Takes back what a deleted reporter sent since this time, or an earlier one that was given before: exactly the records that arrived since then,
   * while they are stored. Of those that are not stored any more, it takes back all that is counted in the hour of this time and later.
   * What is in closed months is taken from the current hour. It may run several times at once, and be repeated while
   * the records are stored: later each repetition takes back the whole hour of this time.
   * @throws {NotFound} @throws {Conflict} while it is not deleted
   */
  async void(actor: Actor, id: string, given: { since: Date; reason: string }): Promise<Removed> {
    const { usageDedupSeconds: dedupSeconds } = this.#policy.policy
    const { since, openFrom, now } = await mutate(this.#database, actor, async ({ trx, record }) => {
      const reporter = await lockReporter(trx, id)
      if (!reporter) throw new NotFound('usage reporter', id)
      if (!reporter.deletedAt)
        throw new Conflict('usage_reporter_active', 'This reporter may still report. Delete it first.')
      // Waits for reports that began before it was deleted.
      await lockLedger(trx)
      const changes = { since: { to: given.since.toISOString() }, reason: { to: given.reason } }
      record({ action: 'usage-reporter.void', ...usageReporterTarget(id), changes })
      return {
        since: await setVoidedSince(trx, id, given.since),
        openFrom: await readOpenFrom(trx, dedupSeconds),
        now: new Date(await databaseNow(trx)),
      }
    })
    const removed: Removed[] = []
    const from = hourOf(since)
    for (const hour of storedHours(now, { from: numberOf(from) - MOST_HOURS_LATE, to: numberOf(from) }))
      removed.push(await this.#takeBack(id, { hour, since }, dedupSeconds))
    for (let next = from > openFrom ? from : openFrom; ; ) {
      const page = { from: next, most: HOURS_A_PAGE }
      const hours = await this.#database.run(db => openHoursOf(db, id, page))
      for (const hour of hours) removed.push(await this.#recompute(id, hour, dedupSeconds))
      if (hours.length < HOURS_A_PAGE) break
      next = new Date((hours.at(-1) as Date).getTime() + HOUR_MS)
    }
    removed.push(await this.#correct(id, dedupSeconds))
    return removed.reduce(sum, NOTHING)
  }

  /** Hours before that of `since` keep what is not stored any more: only the records are taken from them. */
  async #takeBack(id: string, late: { hour: number; since: Date }, dedupSeconds: number): Promise<Removed> {
    const given = { ...late, to: hourOf(late.since) }
    if (!(await this.#database.run(db => hasLateRecords(db, id, given)))) return NOTHING
    return this.#database.write(async trx => {
      await lockVoid(trx, id)
      await shareLedger(trx)
      return takeBackRecords(trx, id, { ...given, from: await readOpenFrom(trx, dedupSeconds) })
    })
  }

  /**
   * An hour with a correction is left to #correct, because no record explains the correction. Meanwhile its month may have closed, and
   * another void may have given an earlier time.
   */
  #recompute(id: string, hour: Date, dedupSeconds: number): Promise<Removed> {
    return this.#database.write(async trx => {
      const { since, correctedHours } = await lockVoid(trx, id)
      await shareLedger(trx)
      if (hour < (await readOpenFrom(trx, dedupSeconds))) return NOTHING
      if (correctedHours.some(each => each.getTime() === hour.getTime())) return NOTHING
      return recomputeHour(trx, id, { hour, since })
    })
  }

  /** Makes a correction in the current hour of what is left in closed months. They stay closed, so that it is not taken back there as well. */
  #correct(id: string, dedupSeconds: number): Promise<Removed> {
    return this.#database.write(async trx => {
      const { since, correctedHours: corrected } = await lockVoid(trx, id)
      await shareLedger(trx)
      const openFrom = await readOpenFrom(trx, dedupSeconds)
      const now = new Date(await databaseNow(trx))
      const hour = hourOf(now)
      const to = Math.max(numberOf(openFrom), ...corrected.map(each => numberOf(each) + 1))
      const hours = storedHours(now, { from: Number.NEGATIVE_INFINITY, to })
      const given = { since, from: hourOf(since), openFrom, corrected, hours, hour }
      const removed = await correctClosed(trx, id, given)
      if (!removed) return NOTHING
      await addCorrectedHour(trx, id, hour)
      await closeBefore(trx, openFrom)
      return removed
    })
  }
}

const NOTHING: Removed = { requests: 0, inputTokens: 0, outputTokens: 0 }

const hourOf = (time: Date) => new Date(numberOf(time) * HOUR_MS)

/** Hours since 1970. */
const numberOf = (time: Date) => Math.floor(time.getTime() / HOUR_MS)

/** Those of these hours of whose requests records may be stored. The last partition is for the next hour. */
function storedHours(now: Date, { from, to }: { from: number; to: number }): number[] {
  const end = numberOf(now) + 2
  const hours = Array.from({ length: SLOTS }, (_, index) => end - SLOTS + index)
  return hours.filter(hour => hour >= from && hour < to)
}

const sum = (a: Removed, b: Removed): Removed => ({
  requests: a.requests + b.requests,
  inputTokens: a.inputTokens + b.inputTokens,
  outputTokens: a.outputTokens + b.outputTokens,
})
