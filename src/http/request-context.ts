import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Request, RequestHandler } from 'express'
import type { Random } from '../system/random.ts'
import { callerAddress, type Trusts } from './caller-address.ts'

/** What one request was about and how it ended: filled along the way, logged once. Never a credential, never a body. */
export interface RequestEvent {
  requestId: string
  /** Address of the caller; behind a trusted proxy, the one that it names. */
  source: string | undefined
  /** Where the router that the request went into is mounted: Express forgets it when an error leaves the router. */
  prefix: string
  /** The route, where Express did not find it. */
  route: string | undefined
  /** What probes and verifiers ask again and again: nobody wants to read that it was answered. */
  polled: boolean
  /** Ids, reasons and codes that say what happened. */
  fields: Record<string, string | number | boolean | undefined>
  /** A fault of ours: what the operator must see. */
  error?: unknown
}

const EVENT = Symbol('event')
type WithEvent = ServerResponse & { [EVENT]?: RequestEvent }

/** Opens the event of a request. */
export function openEvent(
  req: IncomingMessage,
  res: ServerResponse,
  options: { random: Random; trusts: Trusts },
): RequestEvent {
  const source = callerAddress(req, options.trusts)
  const event: RequestEvent = {
    requestId: options.random.uuid(),
    source,
    prefix: '',
    route: undefined,
    polled: false,
    fields: {},
  }
  ;(res as WithEvent)[EVENT] = event
  return event
}

/** Opens the event of a request and gives its id to the caller. */
export function requestContext(options: { random: Random; trusts: Trusts }): RequestHandler {
  return (req, res, next) => {
    res.set('X-Request-Id', openEvent(req, res, options).requestId)
    next()
  }
}

export function eventOf(res: ServerResponse): RequestEvent {
  const event = (res as WithEvent)[EVENT]
  if (!event) throw new Error('the request has no event')
  return event
}

/** The pattern of the route that matched, so that logs and metrics hold no text that a client chose. */
export function routeOf(req: IncomingMessage, event: RequestEvent): string {
  if (event.route !== undefined) return event.route
  const path: unknown = (req as Request).route?.path
  return typeof path === 'string' ? event.prefix + path : 'unmatched'
}
