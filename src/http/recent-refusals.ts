import { meaningOf, type RefusalReason } from '../refusal-reasons.ts'

/** A refused request as the log has it. */
export interface RecordedRefusal {
  /** Epoch milliseconds. */
  at: number
  listener: string
  route: string
  status: number
  reason: RefusalReason
  requestId: string | undefined
  /** What the gateway calls the request. Where the gateway passes on `x-request-id`, its client chose it. */
  gatewayRequestId: string | undefined
  source: string | undefined
  keyId: string | undefined
  tokenId: string | undefined
}

/** Refusals that have one of these ids. */
export interface RefusalQuery {
  /** Of Mintmark, or of a gateway. */
  requestId?: string | undefined
  keyId?: string | undefined
  tokenId?: string | undefined
}

/** A line of the access log, as far as it is kept. */
export interface RefusalLine {
  listener: string
  route: string
  status: number
  request_id?: string | undefined
  source?: string | undefined
  error?: unknown
  reason?: unknown
  client_id?: unknown
  /** True: the caller named the key, and the reason does not say that this is all. */
  client_unproven?: unknown
  token_id?: unknown
  gateway_request_id?: unknown
}

/** Refusals of known keys, which anonymous callers cannot evict, and all others. */
const MOST = { known: 2_000, anonymous: 500 }
/** The key is not known, or the caller only named it: anyone can cause them, for any key. */
const GUESSES: ReadonlySet<RefusalReason> = new Set([
  'unknown',
  'client_unknown',
  'too_many_failures',
  'wrong_secret',
  'assertion_alg',
  'assertion_unknown_key',
  'assertion_ambiguous_key',
  'assertion_signature',
] as const)

/**
 * The last refusals of this process, in memory: an administrator asks for one by the id of the request. Other replicas
 * have their own, and are asked (docs/decisions/0029-reasons-and-explain.md); all of them are in the log.
 */
export class RecentRefusals {
  readonly #known: RecordedRefusal[] = []
  readonly #anonymous: RecordedRefusal[] = []
  readonly #most: typeof MOST

  constructor(most = MOST) {
    this.#most = most
  }

  /** Keeps a logged request if it was refused for a reason of the list. `at` in epoch milliseconds. */
  note(line: RefusalLine, at: number): void {
    const reason = textOf(line.reason) ?? textOf(line.error)
    if (line.status < 400 || reason === undefined || !meaningOf(reason)) return
    const refusal: RecordedRefusal = {
      at,
      listener: line.listener,
      route: line.route,
      status: line.status,
      reason: reason as RefusalReason,
      requestId: line.request_id,
      gatewayRequestId: textOf(line.gateway_request_id),
      source: line.source,
      keyId: textOf(line.client_id),
      tokenId: textOf(line.token_id),
    }
    const isGuess = GUESSES.has(refusal.reason) || line.client_unproven === true
    const isKnown = refusal.keyId !== undefined && !isGuess
    const [list, most] = isKnown ? [this.#known, this.#most.known] : [this.#anonymous, this.#most.anonymous]
    list.push(refusal)
    // In steps, because each one moves the whole list.
    if (list.length > most * 1.1) list.splice(0, list.length - most)
  }

  /** The newest first. */
  find(query: RefusalQuery, most: number): RecordedRefusal[] {
    return newest([...this.#known, ...this.#anonymous].filter(refusalFits(query)), most)
  }

  /** How many are kept, and when the oldest happened, in epoch milliseconds. */
  get extent(): { count: number; since: number | undefined } {
    const firsts = [this.#known[0], this.#anonymous[0]].flatMap(first => (first ? [first.at] : []))
    const count = this.#known.length + this.#anonymous.length
    return { count, since: firsts.length === 0 ? undefined : Math.min(...firsts) }
  }
}

/** The newest first. */
export const newest = (refusals: readonly RecordedRefusal[], most: number): RecordedRefusal[] =>
  refusals.toSorted((a, b) => b.at - a.at).slice(0, most)

const refusalFits = ({ requestId, keyId, tokenId }: RefusalQuery) => {
  if (requestId !== undefined)
    return (each: RecordedRefusal) => each.requestId === requestId || each.gatewayRequestId === requestId
  if (keyId !== undefined) return (each: RecordedRefusal) => each.keyId === keyId
  return (each: RecordedRefusal) => tokenId !== undefined && each.tokenId === tokenId
}

/** A refusal as another process sent it; undefined: it is none. */
export function readRefusal(sent: unknown): RecordedRefusal | undefined {
  const { at, status, reason, ...fields } = Object(sent)
  const [listener, route] = [textOf(fields.listener), textOf(fields.route)]
  if (!Number.isFinite(at) || !Number.isFinite(status) || !meaningOf(reason)) return undefined
  if (listener === undefined || route === undefined) return undefined
  return {
    ...{ at, listener, route, status, reason },
    requestId: textOf(fields.requestId),
    gatewayRequestId: textOf(fields.gatewayRequestId),
    source: textOf(fields.source),
    keyId: textOf(fields.keyId),
    tokenId: textOf(fields.tokenId),
  }
}

/** What another process seeks. */
export const readRefusalQuery = (sent: unknown): RefusalQuery => {
  const { requestId, keyId, tokenId } = Object(sent)
  return { requestId: textOf(requestId), keyId: textOf(keyId), tokenId: textOf(tokenId) }
}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)
