import type { Clock } from '../system/clock.ts'
import { FairQueue } from '../system/fair-queue.ts'
import type { Counted, UsageRecords } from '../usage/usage-records.ts'
import type { LiveReporter } from '../usage/usage-reporter.ts'
import type { Report } from './read-report.ts'
import type { ReportReader } from './report-reader.ts'

/** Of all reports that are arriving on one listener. */
export const MOST_HELD_BYTES = 32 * 1_048_576
/** One is counted while another is read; a reporter has one turn at a time, so that it takes nothing from others. */
const QUEUE = { atOnce: 2, mostWaiting: 16, mostWaitingOfOne: 4, longestWaitMs: 5_000 }

/** Reads and counts reports, over HTTP and over gRPC, a few at a time. */
export class ReportQueue {
  readonly #reader: ReportReader
  readonly #records: UsageRecords
  readonly #queue: FairQueue

  constructor({ reader, records, clock }: { reader: ReportReader; records: UsageRecords; clock: Clock }) {
    this.#reader = reader
    this.#records = records
    this.#queue = new FairQueue({ ...QUEUE, clock })
  }

  /**
   * Settles once the report is counted in Postgres. Undefined: the reporter was deleted. @throws {UnreadableReport}
   * @throws {RequestError} 413 @throws {Busy} @throws {Unavailable}
   */
  count(reporter: LiveReporter, report: Report): Promise<Counted | undefined> {
    return this.#queue.join({ group: reporter.id, name: reporter.id }, async () => {
      const by = this.#records.acceptedBy(reporter)
      return this.#records.count(reporter.id, await this.#reader.read(report, by), by)
    }).result
  }
}
