import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import type { NoteDuration } from './request-durations.ts'
import type { RequestEvent } from './request-event.ts'

/** Where one listener's requests are logged. */
export interface AccessLog {
  listener: string
  logger: Logger
  clock: Clock
  noteDuration: NoteDuration
}

type Logged = Pick<RequestEvent, 'source' | 'route' | 'polled' | 'fields' | 'error'> & { requestId?: string }

/** A client that left before it was answered: nginx's word for it, in logs and metrics only. */
const LEFT = 499

/**
 * One line and one duration for a request that is over, over HTTP or gRPC. 5xx is an error and everything else is info,
 * but for what probes and verifiers request again and again: of that only the duration is noted, unless the level is
 * debug. `started` is the clock's `monotonicMs` when the request came; `answered` is false when the client left first.
 */
export function logRequest(
  { listener, logger, clock, noteDuration }: AccessLog,
  event: Logged,
  answer: { method: string | undefined; status: number; answered: boolean; started: number },
): void {
  const durationMs = clock.monotonicMs() - answer.started
  const status = answer.answered ? answer.status : LEFT
  noteDuration(listener, event.route, status, durationMs / 1000)
  const routine = listener === 'ops' ? answer.status !== 500 : event.polled && status < 400
  if (routine && !logger.isLevelEnabled('debug')) return
  const line = {
    listener,
    request_id: event.requestId,
    method: answer.method,
    route: event.route,
    status,
    duration_ms: Math.round(durationMs * 10) / 10,
    source: event.source,
    ...event.fields,
  }
  if (routine) logger.debug(line, 'request')
  else if (answer.status >= 500) logger.error({ ...line, err: event.error }, 'request')
  else logger.info(line, 'request')
}
