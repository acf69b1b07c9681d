import type { Actor } from '../audit/audit-event.ts'
import { mutate } from '../audit/audit-log.ts'
import type { Database } from '../database/database.ts'
import { databaseNow } from '../database/database-time.ts'
import { Conflict, NotFound } from '../errors.ts'
import type { CurrentPolicy } from '../installation/current-policy.ts'
import {
  adjustClosed,
  closeBefore,
  lockVoid,
  openHoursOf,
  type Removed,
  readOpenFrom,
  recomputeHour,
  setCorrectedHours,
  setVoidedSince,
} from './usage-correction-repository.ts'
import { HOUR_MS } from './usage-record.ts'
import { lockLedger, shareLedger } from './usage-record-repository.ts'
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
   * Takes back what a deleted reporter sent since this time, or an earlier one that was given before. The totals of open hours are computed
   * again from the records of before that are still stored; what is in closed months is taken from the current hour. It may be repeated while
   * the records are stored, and at the same time. @throws {NotFound} @throws {Conflict} while it is not deleted
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
        now: await databaseNow(trx),
      }
    })
    const from = hourOf(since.getTime())
    // What was received since then may be of earlier requests. Those hours are only touched while their records are stored.
    const stored = hourOf(now - dedupSeconds * 1000)
    const reported = hourOf(since.getTime() - dedupSeconds * 1000)
    const first = new Date(Math.min(from.getTime(), Math.max(stored.getTime(), reported.getTime())))
    const removed: Removed[] = []
    for (let next = first > openFrom ? first : openFrom; ; ) {
      const page = { from: next, most: HOURS_A_PAGE }
      const hours = await this.#database.run(db => openHoursOf(db, id, page))
      for (const hour of hours) removed.push(...(await this.#recompute(id, hour, dedupSeconds)))
      if (hours.length < HOURS_A_PAGE) break
      next = new Date((hours.at(-1) as Date).getTime() + HOUR_MS)
    }
    removed.push(...(await this.#adjust(id, dedupSeconds)))
    return removed.reduce(sum, { requests: 0, inputTokens: 0, outputTokens: 0 })
  }

  /**
   * An hour with a correction is left to #adjust, because no record explains the correction. Meanwhile its month may have closed, and
   * another void may have given an earlier time.
   */
  #recompute(id: string, hour: Date, dedupSeconds: number): Promise<Removed[]> {
    return this.#database.write(async trx => {
      const { since, correctedHours } = await lockVoid(trx, id)
      await shareLedger(trx)
      if (hour < (await readOpenFrom(trx, dedupSeconds))) return []
      if (correctedHours.some(each => each.getTime() === hour.getTime())) return []
      return [await recomputeHour(trx, id, { hour, since })]
    })
  }

  /** Takes back its corrections in hours that are open, and makes one in the current hour for months that are closed. */
  #adjust(id: string, dedupSeconds: number): Promise<Removed[]> {
    return this.#database.write(async trx => {
      const { since, correctedHours } = await lockVoid(trx, id)
      await shareLedger(trx)
      const openFrom = await readOpenFrom(trx, dedupSeconds)
      const from = hourOf(since.getTime())
      const current = hourOf(await databaseNow(trx))
      const corrected = from < openFrom ? [current] : []
      const hours = new Set([...correctedHours.filter(hour => hour >= openFrom), ...corrected].map(Number))
      const removed: Removed[] = []
      for (const hour of hours) removed.push(await recomputeHour(trx, id, { hour: new Date(hour), since }))
      if (from < openFrom) removed.push(await adjustClosed(trx, id, { from, to: openFrom, hour: current }))
      await setCorrectedHours(trx, id, corrected)
      return removed
    })
  }
}

const hourOf = (ms: number) => new Date(Math.floor(ms / HOUR_MS) * HOUR_MS)

const sum = (a: Removed, b: Removed): Removed => ({
  requests: a.requests + b.requests,
  inputTokens: a.inputTokens + b.inputTokens,
  outputTokens: a.outputTokens + b.outputTokens,
})
