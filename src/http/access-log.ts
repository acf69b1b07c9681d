import type { IncomingMessage, ServerResponse } from 'node:http'
import type { RequestHandler } from 'express'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import { eventOf, routeOf } from './request-context.ts'
import type { NoteDuration } from './request-durations.ts'

interface LogOptions {
  listener: string
  logger: Logger
  clock: Clock
  noteDuration: NoteDuration
}

/**
 * One line and one duration for each request, when it is over. 5xx is an error, everything else is news, but for what
 * probes and verifiers ask again and again: of that only the duration is noted, unless the level is debug.
 */
export function logWhenOver(req: IncomingMessage, res: ServerResponse, options: LogOptions): void {
  const { listener, logger, clock, noteDuration } = options
  const started = clock.monotonicMs()
  res.on('close', () => {
    const event = eventOf(res)
    const durationMs = clock.monotonicMs() - started
    const route = routeOf(req, event)
    const status = res.writableFinished ? res.statusCode : 499
    noteDuration(listener, route, status, durationMs / 1000)
    const routine = listener === 'ops' ? res.statusCode !== 500 : event.polled && status < 400
    if (routine && !logger.isLevelEnabled('debug')) return
    const line = {
      listener,
      request_id: event.requestId,
      method: req.method,
      route,
      status,
      duration_ms: Math.round(durationMs * 10) / 10,
      source: event.source,
      ...event.fields,
    }
    if (routine) logger.debug(line, 'request')
    else if (res.statusCode >= 500) logger.error({ ...line, err: event.error }, 'request')
    else logger.info(line, 'request')
  })
}

/** `logWhenOver` as a handler of Express. */
export function accessLog(options: LogOptions): RequestHandler {
  return (req, res, next) => {
    logWhenOver(req, res, options)
    next()
  }
}
