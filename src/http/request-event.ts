import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Random } from '../system/random.ts'
import { ambiguity } from './ambiguity.ts'
import { callerAddress, type Trusts } from './caller-address.ts'
import type { RequestError } from './request-error.ts'

/** What one request was about and how it ended: filled along the way, logged once. Never a credential, never a body. */
export interface RequestEvent {
  requestId: string
  /** Address of the caller; behind a trusted proxy, the one it reports. */
  source: string | undefined
  /** The pattern of the route that matched, so that logs and metrics contain no client-chosen text. */
  route: string
  /** Polled by probes and verifiers: successes are logged at level debug only. */
  polled: boolean
  /** Ids, reasons and codes that say what happened. */
  fields: Record<string, string | number | boolean | undefined>
  /** An internal error, for the operator. */
  error?: unknown
  /** Set when the request is ambiguous; no handler is called then. */
  fault: RequestError | undefined
}

/** The route of a request that no route matched. */
export const UNMATCHED = 'unmatched'

const EVENT = Symbol('event')
type WithEvent = ServerResponse & { [EVENT]?: RequestEvent }

/** Opens the event of a request. */
export function openEvent(
  req: IncomingMessage,
  res: ServerResponse,
  options: { random: Random; trusts: Trusts },
): RequestEvent {
  const event: RequestEvent = {
    requestId: options.random.uuid(),
    source: callerAddress(req, options.trusts),
    route: UNMATCHED,
    polled: false,
    fields: {},
    fault: ambiguity(req),
  }
  ;(res as WithEvent)[EVENT] = event
  return event
}

export function eventOf(res: ServerResponse): RequestEvent {
  const event = (res as WithEvent)[EVENT]
  if (!event) throw new Error('the request has no event')
  return event
}
