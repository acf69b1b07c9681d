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

/** A client that left before it was answered: nginx's word for it, in logs and metrics only. */
const LEFT = 499

/**
 * One line and one duration for a request that is over. 5xx is an error, everything else is news, but for what probes
 * and verifiers ask again and again: of that only the duration is noted, unless the level is debug. `started` is the
 * clock's `monotonicMs` when the request came.
 */
export function logRequest(
  req: IncomingMessage,
  res: ServerResponse,
  { listener, logger, clock, noteDuration }: LogOptions,
  { started, answered }: { started: number; answered: boolean },
): void {
  const event = eventOf(res)
  const durationMs = clock.monotonicMs() - started
  const route = routeOf(req, event)
  const status = answered ? res.statusCode : LEFT
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
}

/** `logRequest` for everything that Express answers. */
export function accessLog(options: LogOptions): RequestHandler {
  return (req, res, next) => {
    const started = options.clock.monotonicMs()
    res.on('close', () => logRequest(req, res, options, { started, answered: res.writableFinished }))
    next()
  }
}
