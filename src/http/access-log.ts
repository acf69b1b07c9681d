import type { RequestHandler } from 'express'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import { eventOf, routeOf } from './request-context.ts'
import type { NoteDuration } from './request-durations.ts'

/**
 * One line and one duration for each request, when it is over. 5xx is an error, everything else is news, but for what
 * probes ask each second.
 */
export function accessLog(options: {
  listener: string
  logger: Logger
  clock: Clock
  noteDuration: NoteDuration
}): RequestHandler {
  const { listener, logger, clock, noteDuration } = options
  const probe = listener === 'ops'
  return (req, res, next) => {
    const started = clock.monotonicMs()
    res.once('close', () => {
      const { requestId, source, fields, error } = eventOf(res)
      const durationMs = clock.monotonicMs() - started
      const route = routeOf(req, res)
      const status = res.writableFinished ? res.statusCode : 499
      noteDuration(listener, route, status, durationMs / 1000)
      const line = {
        listener,
        request_id: requestId,
        method: req.method,
        route,
        status,
        duration_ms: Math.round(durationMs * 10) / 10,
        source,
        ...fields,
      }
      if (probe && res.statusCode !== 500) logger.debug(line, 'request')
      else if (res.statusCode >= 500) logger.error({ ...line, err: error }, 'request')
      else logger.info(line, 'request')
    })
    next()
  }
}
