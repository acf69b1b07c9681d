import type { IncomingMessage, ServerResponse } from 'node:http'
import { mediaType, readBody } from '../http/body.ts'
import type { Readiness } from '../http/health.ts'
import { HeldBytes } from '../http/held-bytes.ts'
import type { Application } from '../http/listener.ts'
import { RequestError } from '../http/request-error.ts'
import { eventOf } from '../http/request-event.ts'
import { routeTable } from '../http/route-table.ts'
import type { KnownReporters } from '../usage/known-reporters.ts'
import type { LiveReporter } from '../usage/usage-reporter.ts'
import { answerReport, type Encoding, refuseReport } from './otlp-answer.ts'
import { LONGEST_REPORT_BYTES } from './read-report.ts'
import { MOST_HELD_BYTES, type ReportQueue } from './report-queue.ts'
import { reporterOf, SEND_A_SECRET } from './reporter-secret.ts'

interface Receiver {
  reporters: KnownReporters
  queue: ReportQueue
  readiness: Readiness
}

/**
 * telemetry/ receives what gateways report, as OTLP logs over HTTP (https://opentelemetry.io/docs/specs/otlp) and gRPC
 * (otlp-grpc.ts): a report is authenticated before its body is read, bounded, and answered once it is counted in Postgres.
 * The sender repeats it after 429 and 503, and may repeat it at any time.
 */
export function otlpReceiver({ reporters, queue, readiness }: Receiver): Application {
  const held = new HeldBytes(MOST_HELD_BYTES)
  const handle = async (req: IncomingMessage, res: ServerResponse) => {
    const reporter = authenticated(reporters, req.headers.authorization)
    eventOf(res).fields.usage_reporter = reporter.id
    const encoding = encodingOf(req)
    if (!encoding)
      throw new RequestError(
        415,
        'Unsupported Content-Type. Send application/x-protobuf or application/json.',
      )
    const body = await readBody(req, LONGEST_REPORT_BYTES, held, ['identity', 'gzip'])
    const counted = await queue.count(reporter, { body, isPacked: isPacked(req), encoding })
    if (!counted) throw unauthenticated()
    if (counted.rejected > 0) eventOf(res).fields.rejected = counted.message
    answerReport(res, encoding, counted)
  }
  const refuse = (thrown: unknown, res: ServerResponse) =>
    refuseReport(thrown, res, encodingOf(res.req) ?? 'application/json')
  const routes = [{ methods: ['POST'], path: '/v1/logs', handle }]
  return routeTable({ routes, readiness, refuse, hint: 'Usage is received at /v1/logs' })
}

const unauthenticated = () =>
  new RequestError(401, SEND_A_SECRET, { 'WWW-Authenticate': 'Bearer realm="usage"' })

/** @throws {RequestError} 401 @throws {Unavailable} */
function authenticated(reporters: KnownReporters, authorization: string | undefined): LiveReporter {
  const reporter = reporterOf(reporters, authorization)
  if (!reporter) throw unauthenticated()
  return reporter
}

function encodingOf(req: IncomingMessage): Encoding | undefined {
  const type = mediaType(req.headers['content-type'])
  return type === 'application/json' || type === 'application/x-protobuf' ? type : undefined
}

const isPacked = (req: IncomingMessage) => req.headers['content-encoding']?.toLowerCase() === 'gzip'
