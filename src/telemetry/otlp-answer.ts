import type { ServerResponse } from 'node:http'
import { Busy, Unavailable } from '../errors.ts'
import { headerList } from '../http/answer.ts'
import { RequestError, toRequestError } from '../http/request-error.ts'
import { eventOf } from '../http/request-event.ts'
import type { Counted } from '../usage/usage-records.ts'
import { UnreadableReport } from './unreadable-report.ts'
import { delimitedField, numberField } from './wire-format.ts'

/** How a report is encoded, and so is its answer. */
export type Encoding = 'application/json' | 'application/x-protobuf'

/** 200: an ExportLogsServiceResponse, with `partial_success` where records were rejected. */
export function answerReport(res: ServerResponse, encoding: Encoding, { rejected, message }: Counted): void {
  if (encoding === 'application/json') {
    const partialSuccess = { rejectedLogRecords: String(rejected), errorMessage: message }
    send(res, 200, encoding, Buffer.from(JSON.stringify(rejected > 0 ? { partialSuccess } : {})))
    return
  }
  send(res, 200, encoding, answerMessage({ rejected, message }))
}

/** The same in protobuf. */
export function answerMessage({ rejected, message }: Counted): Buffer {
  const partial = Buffer.concat([numberField(1, rejected), delimitedField(2, message)])
  return rejected > 0 ? delimitedField(1, partial) : Buffer.alloc(0)
}

/** Codes of google.rpc.Status. */
const RPC: Record<number, number> = { 401: 16, 404: 12, 405: 12, 429: 8, 500: 13, 503: 14 }
const INVALID_ARGUMENT = 3

/**
 * Translates errors as OTLP/HTTP says: 429 and 503 with `Retry-After` are repeated by the sender, everything else is not,
 * because it would fail again. The body is a google.rpc.Status.
 */
export function refuseReport(thrown: unknown, res: ServerResponse, encoding: Encoding): void {
  const event = eventOf(res)
  const { status, message, headers } = translated(thrown)
  event.fields.error = message
  if (status >= 500) event.error = thrown instanceof Unavailable ? thrown.cause : thrown
  const code = RPC[status] ?? INVALID_ARGUMENT
  const body =
    encoding === 'application/json'
      ? Buffer.from(JSON.stringify({ code, message }))
      : Buffer.concat([numberField(1, code), delimitedField(2, message)])
  send(res, status, encoding, body, headers)
}

/** How an error is answered over HTTP. */
export function translated(thrown: unknown): {
  status: number
  message: string
  headers: Readonly<Record<string, string>>
} {
  const error = toRequestError(thrown)
  if (error instanceof RequestError) return error
  if (error instanceof UnreadableReport) return { status: 400, message: error.message, headers: {} }
  if (error instanceof Unavailable) {
    const headers = { 'Retry-After': String(error.retryAfterSeconds) }
    return error instanceof Busy
      ? { status: 429, message: 'Too many reports at once. Retry.', headers }
      : { status: 503, message: 'Usage cannot be counted now. Retry.', headers }
  }
  return { status: 500, message: 'Internal error. The log of the service has the cause.', headers: {} }
}

function send(
  res: ServerResponse,
  status: number,
  encoding: Encoding,
  body: Buffer,
  headers: Readonly<Record<string, string>> = {},
): void {
  const all = ['X-Request-Id', eventOf(res).requestId, ...headerList(headers)]
  res.writeHead(status, [...all, 'Content-Type', encoding, 'Content-Length', String(body.length)])
  res.end(body)
}
