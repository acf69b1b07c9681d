import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import type { RefusalLine } from './recent-refusals.ts'
import type { NoteDuration } from './request-durations.ts'
import type { RequestEvent } from './request-event.ts'

/** Where requests of one listener are logged. */
export interface AccessLog {
  listener: string
  logger: Logger
  clock: Clock
  noteDuration: NoteDuration
  noteRefusal?: NoteRefusal
}

/** Called with the line of each request that was answered 400 or above. `at` in epoch milliseconds. */
export type NoteRefusal = (line: RefusalLine, at: number) => void

type Logged = Pick<RequestEvent, 'source' | 'route' | 'polled' | 'fields' | 'error'> & { requestId?: string }

/** The client closed the connection before the response: nginx's status for it, in logs, metrics and traces only. */
export const CLIENT_CLOSED_REQUEST = 499

interface Answer {
  method: string | undefined
  status: number
  /** Whether the client waited for it. */
  answered: boolean
  /** The clock's `monotonicMs` when the request arrived. */
  started: number
}

/** The requests that ended in this turn of the event loop. */
const ended: (() => void)[] = []

/**
 * Logs a finished request, over HTTP or gRPC, and notes its duration. 5xx is logged as an error, everything else as
 * info. Routes that probes and verifiers poll are logged at debug only.
 *
 * All requests of one turn of the event loop are logged at its end, after their responses. Several lines in a row take the
 * processor far less time than lines between requests.
 */
export function logRequest(log: AccessLog, event: Logged, answer: Answer): void {
  const durationMs = log.clock.monotonicMs() - answer.started
  if (ended.push(() => write(log, event, answer, durationMs)) === 1)
    setImmediate(() => {
      for (const logEnded of ended.splice(0)) logEnded()
    })
}

function write(
  { listener, logger, clock, noteDuration, noteRefusal }: AccessLog,
  event: Logged,
  answer: Answer,
  durationMs: number,
): void {
  const status = answer.answered ? answer.status : CLIENT_CLOSED_REQUEST
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
  if (answer.status >= 400) noteRefusal?.(line, clock.wallMs())
  if (routine) logger.debug(line, 'request')
  else if (answer.status >= 500) logger.error({ ...line, err: event.error }, 'request')
  else logger.info(line, 'request')
}
