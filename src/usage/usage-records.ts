import type { Database } from '../database/database.ts'
import type { CurrentPolicy } from '../installation/current-policy.ts'
import { type AcceptedBy, HOUR_MS, REJECTIONS, type Rejection } from './usage-record.ts'
import { addTo, type RecordBatch, type Rejections } from './usage-record-batch.ts'
import { bookRecords, pruneUsage, shareLedger } from './usage-record-repository.ts'
import type { LiveReporter } from './usage-reporter.ts'
import { nextRollup, pruneRollups, type Rollup, rollUp } from './usage-rollup-repository.ts'

/** The result of one report. */
export interface Counted {
  rejected: number
  /** Why, for the operator of the gateway; '': none was rejected. */
  message: string
}

/** Number of records since the start is kept by these results. */
export type RecordOutcome = 'counted' | 'repeated' | 'ignored' | `rejected_${Rejection}`

/** Counts what reporters report, each record once. */
export class UsageRecords {
  readonly #database: Database
  readonly #policy: CurrentPolicy
  readonly #now: () => number
  readonly outcomes: Record<RecordOutcome, number>
  #notSummed: Rollup[] = []

  /** `database` is a pool of its own, so that reports take no connection of anything else. `now` is database time. */
  constructor(options: { database: Database; policy: CurrentPolicy; now: () => number }) {
    this.#database = options.database
    this.#policy = options.policy
    this.#now = options.now
    const rejections = (Object.keys(REJECTIONS) as Rejection[]).map(name => [`rejected_${name}`, 0] as const)
    this.outcomes = { counted: 0, repeated: 0, ignored: 0, ...Object.fromEntries(rejections) } as never
  }

  /** What the records of this reporter are accepted by, now. */
  acceptedBy({ audiences }: LiveReporter): AcceptedBy {
    return { audiences, dedupSeconds: this.#policy.policy.usageDedupSeconds, now: this.#now() }
  }

  /**
   * Counts the batches of a report, each in a transaction: after an error the whole report may be repeated. A batch of which nothing can be
   * counted or rejected costs none. `by` is what its records were accepted by. Undefined: the reporter was deleted. @throws {Unavailable}
   */
  async count(
    reporterId: string,
    batches: readonly RecordBatch[],
    by: AcceptedBy,
  ): Promise<Counted | undefined> {
    const rejected: Rejections = {}
    for (const batch of batches) {
      const part = await this.#countBatch(reporterId, batch, by)
      if (!part) return undefined
      addTo(rejected, part)
    }
    return { rejected: total(rejected), message: messageOf(rejected) }
  }

  /** Removes what is over. Returns true when there is more. */
  async prune(): Promise<boolean> {
    const { usageDedupSeconds: dedupSeconds, usageRetentionDays: retentionDays } = this.#policy.policy
    await this.#database.run(db => pruneRollups(db, retentionDays))
    return (await this.#database.run(db => pruneUsage(db, { dedupSeconds, retentionDays }))) > 0
  }

  /**
   * Sums one day that no report changes any more, or five days or a month of such days. Returns what; undefined: all are summed that
   * can be. What fails, because it is too large for its time, is tried again after all others.
   */
  async rollUp(): Promise<Rollup | undefined> {
    const { usageDedupSeconds: dedupSeconds, usageRetentionDays: retentionDays } = this.#policy.policy
    const except = this.#notSummed
    const next = await this.#database.run(db => nextRollup(db, { dedupSeconds, retentionDays, except }))
    if (!next) {
      this.#notSummed = []
      return undefined
    }
    try {
      await this.#database.write(trx => rollUp(trx, next))
      return next
    } catch (error) {
      this.#notSummed.push(next)
      throw error
    }
  }

  /** Returns what was rejected. */
  async #countBatch(
    reporterId: string,
    { columns, readable, ignored, rejected: unreadable }: RecordBatch,
    { dedupSeconds, now }: AcceptedBy,
  ): Promise<Rejections | undefined> {
    if (readable === 0 && total(unreadable) === 0) {
      this.outcomes.ignored += ignored
      return {}
    }
    const hours = hoursOf(now, dedupSeconds)
    const booked = await this.#database.write(async trx => {
      await shareLedger(trx)
      return bookRecords(trx, reporterId, columns, { dedupSeconds, hours })
    })
    if (!booked) return undefined
    const rejected = { ...unreadable }
    addTo(rejected, booked.rejected)
    this.outcomes.ignored += ignored
    this.outcomes.counted += booked.counted
    this.outcomes.repeated += readable - booked.counted - total(booked.rejected)
    for (const [name, count] of Object.entries(rejected))
      this.outcomes[`rejected_${name as Rejection}`] += count
    return rejected
  }
}

/** The hours of which records are accepted. */
function hoursOf(now: number, dedupSeconds: number): number[] {
  const oldest = Math.floor(now / HOUR_MS - dedupSeconds / 3600)
  const newest = Math.floor(now / HOUR_MS) + 1
  return Array.from({ length: newest - oldest + 1 }, (_, index) => oldest + index)
}

const total = (counts: Rejections) => Object.values(counts).reduce((sum, count) => sum + count, 0)

const messageOf = (counts: Rejections) =>
  (Object.entries(counts) as [Rejection, number][])
    .map(([name, count]) => `${count} ${count === 1 ? 'record' : 'records'} ${REJECTIONS[name]}`)
    .join('; ')
