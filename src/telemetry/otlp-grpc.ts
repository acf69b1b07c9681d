import { logRequest } from '../http/access-log.ts'
import { type GrpcCall, type GrpcMessages, STATUS } from '../http/grpc-call.ts'
import type { GrpcAdmission, GrpcHandler } from '../http/grpc-listener.ts'
import { notReady, type Readiness } from '../http/health.ts'
import { HeldBytes } from '../http/held-bytes.ts'
import type { NoteDuration } from '../http/request-durations.ts'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import type { KnownReporters } from '../usage/known-reporters.ts'
import { answerMessage, translated } from './otlp-answer.ts'
import { LONGEST_REPORT_BYTES } from './read-report.ts'
import { MOST_HELD_BYTES, type ReportQueue } from './report-queue.ts'
import { reporterOf, SEND_A_SECRET } from './reporter-secret.ts'
import { delimitedField, numberField } from './wire-format.ts'

const LISTENER = 'otlp_grpc'
const ROUTE = 'Export'
const EXPORT = '/opentelemetry.proto.collector.logs.v1.LogsService/Export'
const RETRY_INFO = 'type.googleapis.com/google.rpc.RetryInfo'

/** The bounds of reports over gRPC. */
export const reportMessages = (): GrpcMessages => ({
  longest: LONGEST_REPORT_BYTES,
  held: new HeldBytes(MOST_HELD_BYTES),
  packed: true,
})

interface Receiver {
  reporters: KnownReporters
  queue: ReportQueue
  readiness: Readiness
  clock: Clock
  logger: Logger
  noteDuration: NoteDuration
}

/**
 * `opentelemetry.proto.collector.logs.v1.LogsService`, with the same bounds and answers as over HTTP. `admits` refuses a call
 * without the secret of a reporter before its message is read.
 */
export function logsService({ reporters, queue, readiness, ...log }: Receiver): {
  methods: Record<string, GrpcHandler>
  admits: GrpcAdmission
} {
  const begun = new WeakMap<GrpcCall, number>()
  const finish = (call: GrpcCall, status: number, fields: object, error?: unknown) => {
    const started = begun.get(call) ?? log.clock.monotonicMs()
    const event = { source: call.peer, route: ROUTE, polled: false, fields: { ...fields }, error }
    logRequest({ listener: LISTENER, ...log }, event, { method: undefined, status, answered: true, started })
  }
  const refuse = (call: GrpcCall, thrown: unknown, fields: object = {}) => {
    const { status, message, headers } = translated(thrown)
    // Only this status is always repeated by the sender.
    const isTemporary = status === 429 || status === 503
    const trailers = isTemporary ? retryAfter(message, Number(headers['Retry-After'] ?? 1)) : {}
    call.refuse(isTemporary ? STATUS.unavailable : codeOf(status), message, trailers)
    finish(call, status, { ...fields, error: message }, thrown)
  }
  const refuseStranger = (call: GrpcCall) => {
    call.refuse(STATUS.unauthenticated, SEND_A_SECRET)
    finish(call, 401, { error: SEND_A_SECRET })
  }
  const authenticated = (call: GrpcCall) => reporterOf(reporters, call.headers.authorization)
  const admits = (call: GrpcCall) => {
    begun.set(call, log.clock.monotonicMs())
    try {
      const cause = notReady(readiness)
      if (cause) throw cause
      if (authenticated(call)) return true
      refuseStranger(call)
    } catch (error) {
      refuse(call, error)
    }
    return false
  }
  const exportLogs: GrpcHandler = async (call, body) => {
    const reporter = authenticated(call)
    if (!reporter) return refuseStranger(call)
    const fields = { usage_reporter: reporter.id }
    const report = { body, isPacked: call.isPacked, encoding: 'application/x-protobuf' } as const
    try {
      const counted = await queue.count(reporter, report)
      if (!counted) return refuseStranger(call)
      call.answer(answerMessage(counted))
      finish(call, 200, { ...fields, ...(counted.rejected > 0 && { rejected: counted.message }) })
    } catch (error) {
      refuse(call, error, fields)
    }
  }
  return { methods: { [EXPORT]: exportLogs }, admits }
}

const codeOf = (status: number) => (status === 500 ? STATUS.internal : STATUS.invalidArgument)

/** A google.rpc.Status that says when to repeat the call, as its trailer. */
function retryAfter(message: string, seconds: number): Record<string, string> {
  const info = delimitedField(1, numberField(1, seconds))
  const detail = Buffer.concat([delimitedField(1, RETRY_INFO), delimitedField(2, info)])
  const status = Buffer.concat([
    numberField(1, STATUS.unavailable),
    delimitedField(2, message),
    delimitedField(3, detail),
  ])
  return { 'grpc-status-details-bin': status.toString('base64') }
}
