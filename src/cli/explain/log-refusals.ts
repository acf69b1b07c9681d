import { reasonOfDetails } from '../../gateway/envoy-details.ts'
import { meaningOf } from '../../refusal-reasons.ts'
import { linesOf } from '../lines.ts'
import type { Refusal } from './explained-text.ts'

type Json = Record<string, unknown>

/** Newest ones that are kept of a long log. */
const MOST_KEPT = 10_000

export interface LoggedRefusals {
  refusals: Refusal[]
  /** Requests that a gateway refused because the check did, and whose reasons only the log of Mintmark has. */
  ofTheCheck: number
  /** Whether the log has a line of JSON, which all shipped gateways write. */
  isJson: boolean
}

/** Envoy's details of them, as Istio and Envoy Gateway log them. */
const REFUSED_BY_CHECK = 'ext_authz_denied'

/**
 * The refusals in a log of Mintmark or of a gateway: lines of JSON with a `reason`, or with the details of Envoy as Istio and
 * Envoy Gateway log them, after whatever a collector wrote before it. Other lines are skipped, and details of a request of which a line
 * with a reason exists. `id`: only those of this request, key or token. "-" is standard input.
 * @throws {CliError} when the file cannot be read
 */
export async function refusalsIn(file: string, id: string | undefined): Promise<LoggedRefusals> {
  const found: Refusal[] = []
  let lines = 0
  let read = 0
  /** By the id of the request: what only has details. */
  const detailed = new Map<string, Refusal | undefined>()
  for await (const line of linesOf(file)) {
    lines += 1
    if (line === undefined || (id !== undefined && !line.includes(id))) continue
    const fields = jsonOf(line)
    if (fields) read += 1
    const refusal = fields && refusalOf(fields)
    if (fields && !fields.gateway && detailsOf(fields) !== '') {
      if (refusal || line.includes(REFUSED_BY_CHECK)) detailed.set(requestOf(fields) ?? line, refusal)
      if (detailed.size > MOST_KEPT) detailed.delete(detailed.keys().next().value ?? '')
      continue
    }
    if (!refusal || (id !== undefined && !idsOf(refusal).includes(id))) continue
    found.push(refusal)
    if (found.length > 2 * MOST_KEPT) found.splice(0, MOST_KEPT)
  }
  for (const { request_id } of found) detailed.delete(request_id ?? '')
  const others = [...detailed.values()]
  const byDetails = others.filter(
    refusal => refusal !== undefined && (id === undefined || idsOf(refusal).includes(id)),
  ) as Refusal[]
  const refusals = byDetails.length === 0 ? found : [...found, ...byDetails].toSorted(byTime)
  return {
    refusals: refusals.slice(-MOST_KEPT).reverse(),
    ofTheCheck: others.filter(refusal => refusal === undefined).length,
    isJson: read > 0 || lines === 0 || id !== undefined,
  }
}

const byTime = (a: Refusal, b: Refusal) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0)

const idsOf = (refusal: Refusal) => [
  refusal.request_id,
  refusal.gateway_request_id,
  refusal.key,
  refusal.token_id,
]

/** Envoy's own log. */
const detailsOf = (fields: Json) => textOf(fields.response_code_details) ?? ''

/** Caddy writes the headers of its answer, with Mintmark's id of the check. */
const requestOf = ({ request_id: id, 'x-request-id': xid, resp_headers: sent }: Json) =>
  textOf(id) ?? textOf(xid) ?? textOf(Object(Object(sent)['X-Request-Id'])[0])

/** Caddy calls its log by the number of the site. */
const gatewayOf = (gateway: unknown) => textOf(gateway)?.replace(/^http\.log\.access\b.*/, 'caddy')

/** Undefined: no refusal. */
function refusalOf(fields: Json): Refusal | undefined {
  const reason =
    textOf(fields.reason) ??
    textOf(fields.error) ??
    reasonOfDetails(textOf(fields.details) ?? detailsOf(fields))
  const meaning = reason === undefined ? undefined : meaningOf(reason)
  const status = Number(fields.status ?? fields.response_code)
  if (reason === undefined || !meaning || !(status >= 400)) return undefined
  return {
    at: timeOf(fields.time ?? fields.start_time),
    listener: textOf(fields.listener) ?? gatewayOf(fields.gateway) ?? '-',
    route: textOf(fields.route) ?? textOf(fields.path) ?? textOf(Object(fields.request).uri) ?? '-',
    status,
    reason,
    text: meaning.text,
    request_id: requestOf(fields) ?? null,
    gateway_request_id: textOf(fields.gateway_request_id) ?? textOf(fields.check_request_id) ?? null,
    source:
      textOf(fields.source) ??
      textOf(fields.downstream_remote_address) ??
      textOf(Object(fields.request).remote_ip) ??
      null,
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
