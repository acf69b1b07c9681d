import type { Actor } from '../audit/audit-event.ts'
import { mutate } from '../audit/audit-log.ts'
import type { Database } from '../database/database.ts'
import { databaseNow } from '../database/database-time.ts'
import { Conflict, NotFound } from '../errors.ts'
import type { CurrentPolicy } from '../installation/current-policy.ts'
import {
  adjustClosed,
  closeBefore,
  openHoursOf,
  type Removed,
  readOpenFrom,
  recomputeHour,
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
   * Takes back what a deleted reporter sent since this time. The totals of open hours are computed again from the records
   * of before that are still stored; what is in closed months is taken from the current hour. Idempotent; after an
   * error it may be repeated. @throws {NotFound} @throws {Conflict} while it is not deleted
   */
  async void(actor: Actor, id: string, { since, reason }: { since: Date; reason: string }): Promise<Removed> {
    const from = hourOf(since.getTime())
    const { usageDedupSeconds: dedupSeconds } = this.#policy.policy
    const { openFrom, now } = await mutate(this.#database, actor, async ({ trx, record }) => {
      const reporter = await lockReporter(trx, id)
      if (!reporter) throw new NotFound('usage reporter', id)
      if (!reporter.deletedAt)
        throw new Conflict('usage_reporter_active', 'This reporter may still report. Delete it first.')
      // Waits for reports that began before it was deleted.
      await lockLedger(trx)
      const changes = { since: { to: since.toISOString() }, reason: { to: reason } }
      record({ action: 'usage-reporter.void', ...usageReporterTarget(id), changes })
      return { openFrom: await readOpenFrom(trx, dedupSeconds), now: await databaseNow(trx) }
    })
    // What was received since then may be of earlier requests. Those hours are only touched while their records are stored.
    const stored = hourOf(now - dedupSeconds * 1000)
    const reported = hourOf(since.getTime() - dedupSeconds * 1000)
    const first = [from, stored > reported ? stored : reported].sort((a, b) => a.getTime() - b.getTime())[0]
    const firstOpen = first && first > openFrom ? first : openFrom
    const removed: Removed[] = []
    for (let next = firstOpen; ; ) {
      const page = { from: next, most: HOURS_A_PAGE }
      const hours = await this.#database.run(db => openHoursOf(db, id, page))
      for (const hour of hours)
        removed.push(
          await this.#database.write(async trx => {
            await shareLedger(trx)
            return recomputeHour(trx, id, { hour, since })
          }),
        )
      if (hours.length < HOURS_A_PAGE) break
      next = new Date((hours.at(-1) as Date).getTime() + HOUR_MS)
    }
    if (from < openFrom)
      removed.push(
        ...(await this.#database.write(async trx => {
          // Where two void at the same time, the second takes back the correction of the first, and makes it again.
          await lockReporter(trx, id)
          await shareLedger(trx)
          const hour = hourOf(await databaseNow(trx))
          return [
            await recomputeHour(trx, id, { hour, since }),
            await adjustClosed(trx, id, { from, to: openFrom, hour }),
          ]
        })),
      )
    return removed.reduce(sum, { requests: 0, inputTokens: 0, outputTokens: 0 })
  }
}

const hourOf = (ms: number) => new Date(Math.floor(ms / HOUR_MS) * HOUR_MS)

const sum = (a: Removed, b: Removed): Removed => ({
  requests: a.requests + b.requests,
  inputTokens: a.inputTokens + b.inputTokens,
  outputTokens: a.outputTokens + b.outputTokens,
})
