import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { reasonOfDetails } from '../../gateway/envoy-details.ts'
import { meaningOf } from '../../refusal-reasons.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import { streams } from '../streams.ts'
import type { Refusal } from './explained-text.ts'

type Json = Record<string, unknown>

/** Newest ones that are kept of a long log. */
const MOST_KEPT = 10_000

export interface LoggedRefusals {
  refusals: Refusal[]
  /** Requests that a gateway refused because the check did, and whose reasons only the log of Mintmark has. */
  ofTheCheck: number
}

/** Envoy's details of them, as Istio and Envoy Gateway log them. */
const REFUSED_BY_CHECK = 'ext_authz_denied'

/**
 * The refusals in a log of Mintmark or of a gateway: lines of JSON with a `reason`, or with the details of Envoy as Istio and
 * Envoy Gateway log them, after whatever a collector wrote before it. Other lines are skipped. `id`: only those of this request, key or token. "-" is standard input.
 * @throws {CliError} when the file cannot be read
 */
export async function refusalsIn(file: string, id: string | undefined): Promise<LoggedRefusals> {
  const found: Refusal[] = []
  let ofTheCheck = 0
  try {
    for await (const line of createInterface({ input: opened(file), crlfDelay: Number.POSITIVE_INFINITY })) {
      if (id !== undefined && !line.includes(id)) continue
      const refusal = refusalOf(line)
      if (!refusal && line.includes(REFUSED_BY_CHECK)) ofTheCheck++
      if (!refusal || (id !== undefined && !idsOf(refusal).includes(id))) continue
      found.push(refusal)
      if (found.length > 2 * MOST_KEPT) found.splice(0, MOST_KEPT)
    }
  } catch (error) {
    throw new CliError(EXIT.usage, `${file} cannot be read (${(error as NodeJS.ErrnoException).code}).`)
  }
  return { refusals: found.slice(-MOST_KEPT).reverse(), ofTheCheck }
}

const opened = (file: string): NodeJS.ReadableStream =>
  file === '-' ? streams().stdin : createReadStream(file)

const idsOf = (refusal: Refusal) => [
  refusal.request_id,
  refusal.gateway_request_id,
  refusal.key,
  refusal.token_id,
]

/** Undefined: no refusal. */
function refusalOf(line: string): Refusal | undefined {
  const fields = jsonOf(line)
  if (!fields) return undefined
  const details = textOf(fields.details) ?? textOf(fields.response_code_details) ?? ''
  const reason = textOf(fields.reason) ?? textOf(fields.error) ?? reasonOfDetails(details)
  const meaning = reason === undefined ? undefined : meaningOf(reason)
  const status = Number(fields.status ?? fields.response_code)
  if (reason === undefined || !meaning || !(status >= 400)) return undefined
  return {
    at: timeOf(fields.time ?? fields.start_time),
    listener: textOf(fields.listener) ?? textOf(fields.gateway) ?? '-',
    route: textOf(fields.route) ?? textOf(fields.path) ?? '-',
    status,
    reason,
    text: meaning.text,
    request_id: textOf(fields.request_id) ?? textOf(fields['x-request-id']) ?? null,
    gateway_request_id: textOf(fields.gateway_request_id) ?? textOf(fields.check_request_id) ?? null,
    source: textOf(fields.source) ?? textOf(fields.downstream_remote_address) ?? null,
    key: textOf(fields.client_id) ?? textOf(fields.key) ?? null,
    token_id: textOf(fields.token_id) ?? null,
  }
}

function jsonOf(line: string): Json | undefined {
  const start = line.indexOf('{')
  if (start < 0) return undefined
  try {
    return JSON.parse(line.slice(start)) as Json
  } catch {
    return undefined
  }
}

const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' && value !== '-' ? value : undefined

/** Epoch milliseconds, or the text of a gateway. */
function timeOf(time: unknown): string {
  if (typeof time !== 'number') return textOf(time) ?? '-'
  const date = new Date(time)
  return Number.isNaN(date.getTime()) ? '-' : date.toISOString()
}
