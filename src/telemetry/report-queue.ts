import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { RequestError } from '../http/request-error.ts'
import type { Clock } from '../system/clock.ts'
import { FairQueue } from '../system/fair-queue.ts'
import { ATTRIBUTES } from '../usage/usage-record.ts'
import type { Counted, UsageRecords } from '../usage/usage-records.ts'
import type { LiveReporter } from '../usage/usage-reporter.ts'
import type { Encoding } from './otlp-answer.ts'
import { recordsInJson } from './otlp-json.ts'
import { recordsInProtobuf } from './otlp-protobuf.ts'
import { UnreadableReport } from './unreadable-report.ts'

/** Of a report, packed or not. */
export const LONGEST_REPORT_BYTES = 4 * 1_048_576
/** Of all reports that are arriving on one listener. */
export const MOST_HELD_BYTES = 32 * 1_048_576
/** One is counted while another is read; a reporter has one turn at a time, so that it takes nothing from others. */
const QUEUE = { atOnce: 2, mostWaiting: 16, mostWaitingOfOne: 4, longestWaitMs: 5_000 }

/** A report as it arrived. */
interface Report {
  body: Buffer
  /** With gzip. */
  isPacked: boolean
  encoding: Encoding
}

/** Reads and counts reports, over HTTP and over gRPC, a few at a time. */
export class ReportQueue {
  readonly #records: UsageRecords
  readonly #queue: FairQueue

  constructor({ records, clock }: { records: UsageRecords; clock: Clock }) {
    this.#records = records
    this.#queue = new FairQueue({ ...QUEUE, clock })
  }

  /**
   * Settles once the report is counted in Postgres. Undefined: the reporter was deleted. @throws {UnreadableReport}
   * @throws {RequestError} 413 @throws {Busy} @throws {Unavailable}
   */
  count(reporter: LiveReporter, { body, isPacked, encoding }: Report): Promise<Counted | undefined> {
    return this.#queue.join({ group: reporter.id, name: reporter.id }, async () => {
      const plain = isPacked ? await unpacked(body) : body
      const readers =
        encoding === 'application/json'
          ? recordsInJson(plain, ATTRIBUTES)
          : recordsInProtobuf(plain, ATTRIBUTES)
      return this.#records.count(reporter, readers)
    }).result
  }
}

const unpack = promisify(gunzip)

/** @throws {UnreadableReport} @throws {RequestError} 413 when it is too long unpacked */
async function unpacked(body: Buffer): Promise<Buffer> {
  try {
    return await unpack(body, { maxOutputLength: LONGEST_REPORT_BYTES })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
      throw new RequestError(413, 'The report is too large unpacked. Send smaller batches.')
    throw new UnreadableReport('The report is not valid gzip.', { cause: error })
  }
}
