import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Random } from '../system/random.ts'
import { ambiguity } from './ambiguity.ts'
import { callerAddress, type Trusts } from './caller-address.ts'
import type { RequestError } from './request-error.ts'

/** What one request was about and how it ended: filled along the way, logged once. Never a credential, never a body. */
export interface RequestEvent {
  requestId: string
  /** Address of the caller; behind a trusted proxy, the one that it names. */
  source: string | undefined
  /** The pattern of the route that matched, so that logs and metrics hold no text that a client chose. */
  route: string
  /** Requested again and again by probes and verifiers: its successes are logged at the level debug only. */
  polled: boolean
  /** Ids, reasons and codes that say what happened. */
  fields: Record<string, string | number | boolean | undefined>
  /** An internal error: what the operator must see. */
  error?: unknown
  /** Why no handler may see the request: it can be read in two ways. */
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
