import type { RequestHandler } from 'express'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import { eventOf, routeOf } from './request-context.ts'

/** One line for each request, when it is over. 5xx is an error, everything else is news, but for what probes ask each second. */
export function accessLog(options: { listener: string; logger: Logger; clock: Clock }): RequestHandler {
  const { listener, logger, clock } = options
  const probe = listener === 'ops'
  return (req, res, next) => {
    const started = clock.monotonicMs()
    res.once('close', () => {
      const { requestId, source, fields, error } = eventOf(res)
      const line = {
        listener,
        request_id: requestId,
        method: req.method,
        route: routeOf(req),
        status: res.writableFinished ? res.statusCode : 499,
        duration_ms: Math.round((clock.monotonicMs() - started) * 10) / 10,
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
