import type { IncomingMessage, ServerResponse } from 'node:http'
import { setImmediate } from 'node:timers/promises'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { mediaType, readBody } from '../http/body.ts'
import type { Readiness } from '../http/health.ts'
import { HeldBytes } from '../http/held-bytes.ts'
import type { Application } from '../http/listener.ts'
import { RequestError } from '../http/request-error.ts'
import { eventOf } from '../http/request-event.ts'
import { routeTable } from '../http/route-table.ts'
import type { Clock } from '../system/clock.ts'
import { FairQueue } from '../system/fair-queue.ts'
import type { KnownReporters } from '../usage/known-reporters.ts'
import { ATTRIBUTES, type ReportedRecord } from '../usage/usage-record.ts'
import type { UsageRecords } from '../usage/usage-records.ts'
import type { LiveReporter } from '../usage/usage-reporter.ts'
import { answerReport, type Encoding, refuseReport } from './otlp-answer.ts'
import { recordsInJson } from './otlp-json.ts'
import { recordsInProtobuf } from './otlp-protobuf.ts'
import { UnreadableReport } from './unreadable-report.ts'

/** Of a report, packed or not. */
const LONGEST_REPORT_BYTES = 4 * 1_048_576
/** Of all reports that are arriving. */
const MOST_HELD_BYTES = 32 * 1_048_576
/** One is counted while another is read; a reporter has one turn at a time, so that it takes nothing from others. */
const QUEUE = { atOnce: 2, mostWaiting: 16, mostWaitingOfOne: 4, longestWaitMs: 5_000 }

interface Receiver {
  reporters: KnownReporters
  records: UsageRecords
  readiness: Readiness
  clock: Clock
}

/**
 * telemetry/ receives what gateways report, as OTLP/HTTP logs (https://opentelemetry.io/docs/specs/otlp): a report is
 * authenticated before its body is read, bounded, and answered once it is counted in Postgres. The sender repeats it
 * after 429 and 503, and may repeat it at any time.
 */
export function otlpReceiver({ reporters, records, readiness, clock }: Receiver): Application {
  const held = new HeldBytes(MOST_HELD_BYTES)
  const queue = new FairQueue({ ...QUEUE, clock })
  const handle = async (req: IncomingMessage, res: ServerResponse) => {
    const reporter = authenticated(reporters, req.headers.authorization)
    eventOf(res).fields.usage_reporter = reporter.id
    const encoding = encodingOf(req)
    if (!encoding) throw new RequestError(415, 'Send application/x-protobuf or application/json.')
    const packed = await readBody(req, LONGEST_REPORT_BYTES, held, ['identity', 'gzip'])
    const count = async () => {
      const body = isPacked(req) ? await unpacked(packed) : packed
      const reported =
        encoding === 'application/json'
          ? recordsInJson(body, ATTRIBUTES)
          : recordsInProtobuf(body, ATTRIBUTES)
      return records.count(reporter, await inTurns(reported))
    }
    const counted = await queue.join({ group: reporter.id, name: reporter.id }, count).result
    if (!counted) throw unauthenticated()
    if (counted.rejected > 0) eventOf(res).fields.rejected = counted.message
    answerReport(res, encoding, counted)
  }
  const refuse = (thrown: unknown, res: ServerResponse) =>
    refuseReport(thrown, res, encodingOf(res.req) ?? 'application/json')
  const routes = [{ methods: ['POST'], path: '/v1/logs', handle }]
  return routeTable({ routes, readiness, refuse, hint: 'Usage is received at /v1/logs' })
}

/** Between the parts other requests are answered: a part takes about a millisecond. */
const RECORDS_A_TURN = 50

async function inTurns(readers: readonly (() => ReportedRecord)[]): Promise<ReportedRecord[]> {
  const records: ReportedRecord[] = []
  for (const read of readers) {
    records.push(read())
    if (records.length % RECORDS_A_TURN === 0) await setImmediate()
  }
  return records
}

const unauthenticated = () =>
  new RequestError(401, 'Send the secret of a usage reporter as "Authorization: Bearer <secret>".', {
    'WWW-Authenticate': 'Bearer realm="usage"',
  })

/** @throws {RequestError} 401 @throws {Unavailable} */
function authenticated(reporters: KnownReporters, authorization: string | undefined): LiveReporter {
  const [, presented] = /^Bearer +(\S+)$/i.exec(authorization ?? '') ?? []
  const reporter = presented === undefined ? undefined : reporters.authenticate(presented)
  if (!reporter) throw unauthenticated()
  return reporter
}

function encodingOf(req: IncomingMessage): Encoding | undefined {
  const type = mediaType(req.headers['content-type'])
  return type === 'application/json' || type === 'application/x-protobuf' ? type : undefined
}

const isPacked = (req: IncomingMessage) => req.headers['content-encoding']?.toLowerCase() === 'gzip'

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
