import type { Request, RequestHandler, Response } from 'express'
import type { Random } from '../system/random.ts'

/** What one request was about and how it ended: filled along the way, logged once. Never a credential, never a body. */
export interface RequestEvent {
  requestId: string
  /** Address of the caller; behind a trusted proxy, the one that it names. */
  source: string | undefined
  /** Where the router that the request went into is mounted: Express forgets it when an error leaves the router. */
  prefix: string
  /** Ids, reasons and codes that say what happened. */
  fields: Record<string, string | number | boolean | undefined>
  /** A fault of ours: what the operator must see. */
  error?: unknown
}

/** Opens the event of a request and gives its id to the caller. */
export function requestContext(random: Random): RequestHandler {
  return (req, res, next) => {
    const event: RequestEvent = { requestId: random.uuid(), source: req.ip, prefix: '', fields: {} }
    res.locals.event = event
    res.set('X-Request-Id', event.requestId)
    next()
  }
}

export function eventOf(res: Response): RequestEvent {
  return res.locals.event
}

/** The pattern of the route that matched, so that logs and metrics hold no text that a client chose. */
export function routeOf(req: Request, res: Response): string {
  const path: unknown = req.route?.path
  return typeof path === 'string' ? eventOf(res).prefix + path : 'unmatched'
}
