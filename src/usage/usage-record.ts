import { hash } from 'node:crypto'
import { TENANT_ID } from '../tenants/name.ts'

/** A log record of a gateway. Attributes have the values of OpenTelemetry, lists as lists of text. */
export interface ReportedRecord {
  /** In epoch milliseconds: when the request began, or its end where it has no duration; undefined: not said. */
  at: number | undefined
  attributes: ReadonlyMap<string, AttributeValue>
}
export type AttributeValue = string | number | boolean | readonly string[]

/** One request, as it is counted. */
export interface UsageRecord {
  /** The first 16 bytes of the SHA-256 of the gateway's id, in hex: a collision becomes likely only after 2^64 records. */
  id: string
  /** Hours since 1970. */
  hour: number
  tenantId: string
  keyId: string
  /** '': not said. */
  model: string
  refused: boolean
  /** The tokens were estimated from bytes. */
  estimated: boolean
  inputTokens: number
  cachedInputTokens: number
  outputTokens: number
}

/** The attributes that are read; others are not kept. */
export const ATTRIBUTES: ReadonlySet<string> = new Set([
  'mintmark.request.id',
  'mintmark.tenant',
  'mintmark.key',
  'mintmark.audience',
  'mintmark.outcome',
  'mintmark.request.duration_ms',
  'mintmark.response_flags',
  'mintmark.usage.cached_input_tokens',
  'mintmark.usage.output_events',
  'gen_ai.request.model',
  'gen_ai.usage.input_tokens',
  'gen_ai.usage.output_tokens',
  'http.response.status_code',
  'http.request.body.size',
  'http.response.body.size',
])

/** Why a record is not counted: it is never counted, however often it is sent. */
export const REJECTIONS = {
  malformed: 'without a readable mintmark.request.id, mintmark.key or outcome',
  without_time: 'without a time',
  too_old: 'older than usage_dedup_seconds',
  in_future: 'more than 5 minutes in the future',
  audience: 'for an audience that this reporter may not report',
  tenant: 'of an unknown tenant',
  key: 'of a key that its tenant does not have',
} as const
export type Rejection = keyof typeof REJECTIONS

/** `ignored`: no token was verified, so it is the usage of no tenant. */
export type ReadRecord = { record: UsageRecord } | { rejected: Rejection } | 'ignored'

const FUTURE_MS = 300_000
/** Of a request. No gateway here lets one run for so long. */
const LONGEST_MS = 7 * 86_400_000
export const HOUR_MS = 3_600_000
const LONGEST_ID = 256
const KEY_ID = /^key_[0-9A-Za-z]{16}$/
/** More tokens, and bytes, than any request can have; so few that no sum of them is too large for its column. */
const MOST_COUNTED = 2 ** 32

/** What a record is accepted by. */
export interface AcceptedBy {
  /** Those of its reporter. */
  audiences: readonly string[]
  dedupSeconds: number
  /** Epoch milliseconds, of the database. */
  now: number
}

/** Reads a record by the attributes of docs/guides/usage.md. */
export function readUsageRecord(reported: ReportedRecord, by: AcceptedBy): ReadRecord {
  const { attributes } = reported
  const tenantId = textOf(attributes, 'mintmark.tenant')
  if (tenantId === undefined) return 'ignored'
  const id = textOf(attributes, 'mintmark.request.id')
  const keyId = textOf(attributes, 'mintmark.key')
  const outcome = outcomeOf(attributes)
  if (id === undefined || id.length > LONGEST_ID || keyId === undefined || !outcome || !KEY_ID.test(keyId))
    return { rejected: 'malformed' }
  if (!TENANT_ID.test(tenantId)) return { rejected: 'tenant' }
  const at = endOf(reported)
  if (at === undefined) return { rejected: 'without_time' }
  if (at < by.now - by.dedupSeconds * 1000) return { rejected: 'too_old' }
  if (at > by.now + FUTURE_MS) return { rejected: 'in_future' }
  if (!audiencesOf(attributes).some(name => by.audiences.includes(name))) return { rejected: 'audience' }
  const named = {
    id: hash('sha256', id).slice(0, 32),
    hour: Math.floor(at / HOUR_MS),
    tenantId,
    keyId,
    model: modelOf(attributes),
  }
  if (outcome === 'refused') return { record: { ...named, ...NOTHING, refused: true } }
  return { record: { ...named, ...tokensOf(attributes, outcome), refused: false } }
}

/** Gateways log at the end of a request, and some of them the time at which it began: a long one would be too old by then. */
function endOf({ at, attributes }: ReportedRecord): number | undefined {
  const duration = wholeNumberOf(attributes, 'mintmark.request.duration_ms') ?? 0
  return at === undefined ? undefined : at + Math.min(duration, LONGEST_MS)
}

const NOTHING = { estimated: false, inputTokens: 0, cachedInputTokens: 0, outputTokens: 0 }

/** Text that no model can be called is as good as none. */
function modelOf(attributes: ReportedRecord['attributes']): string {
  const model = textOf(attributes, 'gen_ai.request.model') ?? ''
  return /^[\x21-\x7e]{1,128}$/.test(model) ? model : ''
}

type Outcome = 'completed' | 'cancelled' | 'refused'

/** As said, otherwise by the status and Envoy's flags: gateways log 0, 499, DC or DR when the client left first. */
function outcomeOf(attributes: ReportedRecord['attributes']): Outcome | undefined {
  const said = textOf(attributes, 'mintmark.outcome')
  if (said === 'completed' || said === 'cancelled' || said === 'refused') return said
  const status = numberOf(attributes, 'http.response.status_code')
  if (said !== undefined || status === undefined) return undefined
  const flags = textOf(attributes, 'mintmark.response_flags') ?? ''
  if (status === 0 || status === 499 || /\bD[CR]\b/.test(flags)) return 'cancelled'
  return status >= 400 ? 'refused' : 'completed'
}

/** English text has about four bytes a token; a streamed answer has one event for each, of about 200 bytes where no one counted them. */
const REQUEST_BYTES_A_TOKEN = 4
const ANSWER_BYTES_A_TOKEN = 200

function tokensOf(attributes: ReportedRecord['attributes'], outcome: Outcome): typeof NOTHING {
  const input = numberOf(attributes, 'gen_ai.usage.input_tokens')
  const output = numberOf(attributes, 'gen_ai.usage.output_tokens')
  const cached = numberOf(attributes, 'mintmark.usage.cached_input_tokens')
  const events = numberOf(attributes, 'mintmark.usage.output_events')
  // The engine's count of a cancelled request ends with the last event that had one, and may not begin at all.
  const estimated = outcome === 'cancelled' && output === undefined
  const of = (name: string, bytesAToken: number) =>
    estimated ? Math.ceil((numberOf(attributes, name) ?? 0) / bytesAToken) : 0
  const inputTokens = input ?? of('http.request.body.size', REQUEST_BYTES_A_TOKEN)
  return {
    estimated,
    inputTokens,
    cachedInputTokens: Math.min(cached ?? 0, inputTokens),
    outputTokens: output ?? (estimated ? events : 0) ?? of('http.response.body.size', ANSWER_BYTES_A_TOKEN),
  }
}

/** A gateway writes '-' or nothing where it has no value. */
function textOf(attributes: ReportedRecord['attributes'], name: string): string | undefined {
  const value = attributes.get(name)
  return typeof value !== 'string' || value === '' || value === '-' ? undefined : value
}

/** A count of tokens or bytes, or a status. */
function numberOf(attributes: ReportedRecord['attributes'], name: string): number | undefined {
  const number = wholeNumberOf(attributes, name)
  return number !== undefined && number <= MOST_COUNTED ? number : undefined
}

/** Also as text: the formats of gateways write text. */
function wholeNumberOf(attributes: ReportedRecord['attributes'], name: string): number | undefined {
  const value = attributes.get(name)
  const number = typeof value === 'string' && /^\d{1,15}(\.0+)?$/.test(value) ? Number(value) : value
  return typeof number === 'number' && Number.isInteger(number) && number >= 0 ? number : undefined
}

/** `aud` of a token: text, a list, or a list as JSON text, as Envoy writes it. */
function audiencesOf(attributes: ReportedRecord['attributes']): readonly string[] {
  const value = attributes.get('mintmark.audience')
  if (typeof value !== 'string') return Array.isArray(value) ? value : []
  if (!value.startsWith('[')) return [value]
  try {
    return (JSON.parse(value) as unknown[]).filter(name => typeof name === 'string')
  } catch {
    return []
  }
}
