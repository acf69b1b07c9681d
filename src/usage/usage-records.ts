import { setImmediate } from 'node:timers/promises'
import type { Database } from '../database/database.ts'
import type { CurrentPolicy } from '../installation/current-policy.ts'
import {
  HOUR_MS,
  REJECTIONS,
  type ReadRecord,
  type Rejection,
  type ReportedRecord,
  readUsageRecord,
  type UsageRecord,
} from './usage-record.ts'
import { bookRecords, pruneUsage, shareLedger } from './usage-record-repository.ts'
import type { LiveReporter } from './usage-reporter.ts'
import { nextRollup, pruneRollups, type Rollup, rollUp } from './usage-rollup-repository.ts'

/** Bounds the time of one transaction. */
const RECORDS_A_TRANSACTION = 500
/** Between these other requests are answered: reading so many takes about a fifth of a millisecond. */
const RECORDS_A_TURN = 20

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

  /**
   * Counts the records, in parts, once all of them are read: after an error the whole report may be repeated. A reader throws when its
   * report cannot be read. Undefined: the reporter was deleted. @throws {Unavailable}
   */
  async count(
    reporter: LiveReporter,
    readers: readonly (() => ReportedRecord)[],
  ): Promise<Counted | undefined> {
    const dedupSeconds = this.#policy.policy.usageDedupSeconds
    const by = { audiences: reporter.audiences, dedupSeconds, now: this.#now() }
    const read = await inTurns(readers, reader => readUsageRecord(reader(), by))
    const rejected: Counts = {}
    for (let begin = 0; begin < read.length || begin === 0; begin += RECORDS_A_TRANSACTION) {
      const part = await this.#countPart(reporter.id, read.slice(begin, begin + RECORDS_A_TRANSACTION), by)
      if (!part) return undefined
      add(rejected, part)
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
  async #countPart(
    reporterId: string,
    read: readonly ReadRecord[],
    { dedupSeconds, now }: { dedupSeconds: number; now: number },
  ): Promise<Counts | undefined> {
    const rejected: Counts = {}
    const records = new Map<string, UsageRecord>()
    let [ignored, readable] = [0, 0]
    for (const one of read) {
      if (one === 'ignored') ignored++
      else if ('rejected' in one) add(rejected, { [one.rejected]: 1 })
      else {
        readable++
        const name = one.record.id.toString('latin1')
        if (!records.has(name)) records.set(name, one.record)
      }
    }
    const hours = hoursOf(now, dedupSeconds)
    const booked = await this.#database.write(async trx => {
      await shareLedger(trx)
      return bookRecords(trx, reporterId, [...records.values()], { dedupSeconds, hours })
    })
    if (!booked) return undefined
    add(rejected, booked.rejected)
    this.outcomes.ignored += ignored
    this.outcomes.counted += booked.counted
    this.outcomes.repeated += readable - booked.counted - total(booked.rejected)
    for (const [name, count] of Object.entries(rejected))
      this.outcomes[`rejected_${name as Rejection}`] += count
    return rejected
  }
}

async function inTurns<From, To>(all: readonly From[], of: (one: From) => To): Promise<To[]> {
  const done: To[] = []
  for (const one of all) {
    if (done.length > 0 && done.length % RECORDS_A_TURN === 0) await setImmediate()
    done.push(of(one))
  }
  return done
}

/** The hours of which records are accepted. */
function hoursOf(now: number, dedupSeconds: number): number[] {
  const oldest = Math.floor(now / HOUR_MS - dedupSeconds / 3600)
  const newest = Math.floor(now / HOUR_MS) + 1
  return Array.from({ length: newest - oldest + 1 }, (_, index) => oldest + index)
}

type Counts = Partial<Record<Rejection, number>>

function add(to: Counts, from: Counts): void {
  for (const [name, count] of Object.entries(from) as [Rejection, number][])
    to[name] = (to[name] ?? 0) + count
}

const total = (counts: Counts) => Object.values(counts).reduce((sum, count) => sum + count, 0)

const messageOf = (counts: Counts) =>
  (Object.entries(counts) as [Rejection, number][])
    .map(([name, count]) => `${count} ${count === 1 ? 'record' : 'records'} ${REJECTIONS[name]}`)
    .join('; ')
