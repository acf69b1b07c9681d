import { gunzipSync } from 'node:zlib'
import { RequestError } from '../http/request-error.ts'
import { type AcceptedBy, ATTRIBUTES, readUsageRecord } from '../usage/usage-record.ts'
import { batchesOf, type RecordBatch } from '../usage/usage-record-batch.ts'
import type { Encoding } from './otlp-answer.ts'
import { recordsInJson } from './otlp-json.ts'
import { recordsInProtobuf } from './otlp-protobuf.ts'
import { UnreadableReport } from './unreadable-report.ts'

/** Of a report, packed or not. */
export const LONGEST_REPORT_BYTES = 4 * 1_048_576

/** A report as it arrived. */
export interface Report {
  body: Buffer
  /** With gzip. */
  isPacked: boolean
  encoding: Encoding
}

/** Reads all records of a report, as they are counted. @throws {UnreadableReport} @throws {RequestError} 413 */
export function readReport({ body, isPacked, encoding }: Report, by: AcceptedBy): RecordBatch[] {
  const plain = isPacked ? unpacked(body) : body
  const readers =
    encoding === 'application/json' ? recordsInJson(plain, ATTRIBUTES) : recordsInProtobuf(plain, ATTRIBUTES)
  return batchesOf(readers.map(reader => readUsageRecord(reader(), by)))
}

/** @throws {UnreadableReport} @throws {RequestError} 413 when it is too long unpacked */
function unpacked(body: Buffer): Buffer {
  try {
    return gunzipSync(body, { maxOutputLength: LONGEST_REPORT_BYTES })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
      throw new RequestError(413, 'The report is too large unpacked. Send smaller batches.')
    throw new UnreadableReport('The report is not valid gzip.', { cause: error })
  }
}
