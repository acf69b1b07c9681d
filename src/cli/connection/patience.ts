import { type Clock, systemClock } from '../../system/clock.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import type { Answer } from '../http-call.ts'
import { ConnectionFault } from './network-fault.ts'

/** A service that never answered is waited for as long as a restart takes: its address is more likely wrong. */
const FIRST_ANSWER_MS = 10_000
/** The sum of all waits of a command. */
const WHOLE_COMMAND_MS = 600_000
const LONGEST_PAUSE_SECONDS = 5

/** What a command knows of the outages of its service. */
export class Patience {
  readonly #clock: Clock
  readonly #requestMs: number
  readonly #say: (line: string) => void
  #waitedMs = 0
  #hasAnswered = false
  #hasSaid = false

  /** `seconds`: for how long one request is repeated; 0: not at all. `say` receives one line for each outage. */
  constructor(seconds: number, say: (line: string) => void, clock: Clock = systemClock) {
    this.#requestMs = seconds * 1000
    this.#say = say
    this.#clock = clock
  }

  get now(): number {
    return this.#clock.monotonicMs()
  }

  /** The service responded as it should, or with an error of its own that will not pass. */
  answered(): void {
    this.#hasAnswered = true
    this.#hasSaid = false
  }

  /** Waits before the request that failed since `since` is sent again; false, at once: that would be too late. */
  async wait(why: Failure, since: number, tries: number): Promise<boolean> {
    if (!why.isConnection) this.#hasAnswered = true
    const requestMs = !this.#hasAnswered ? Math.min(this.#requestMs, FIRST_ANSWER_MS) : this.#requestMs
    const pauseMs = 1000 * (why.retryAfterSeconds ?? Math.min(2 ** (tries - 1), LONGEST_PAUSE_SECONDS))
    if (this.now + pauseMs > since + requestMs || this.#waitedMs + pauseMs > WHOLE_COMMAND_MS) return false
    if (!this.#hasSaid)
      this.#say(`${why.text} Trying again for up to ${requestMs / 1000} seconds; Ctrl-C ends the command.`)
    this.#hasSaid = true
    this.#waitedMs += pauseMs
    await this.#clock.sleep(pauseMs)
    return true
  }
}

/** Why a request is worth another try. */
interface Failure {
  /** A sentence. */
  text: string
  /** The service may have carried it out. */
  mayHaveRun: boolean
  isConnection: boolean
  retryAfterSeconds?: number
}

/** How a request ended. */
export interface Outcome {
  answer: Answer
  /** An earlier try may have been carried out. */
  isUnsure: boolean
}

/**
 * A change was sent again because its answer was lost, and the answer to that does not show what the first one did: it names a
 * version that the first one may have changed, or lacks the secret that only the first answer had.
 */
export class OutcomeUnknown extends CliError {
  constructor(what: string, advice?: string) {
    super(
      EXIT.unavailable,
      advice === undefined
        ? `${what}: the response was lost, and then the object had another version. The change was probably made.`
        : `${what}: the change was made, and the response with its secret was lost.`,
      [advice ?? 'Look at the object before you repeat the command.'],
    )
  }
}

/**
 * The answer to a request, which is sent again while the service is unavailable: 429, 502, 503, 504, or no connection. What may
 * have been carried out is sent again only where that does no harm (RFC 9110 section 9.2.2): GET, PUT, DELETE, POST with an
 * Idempotency-Key, PATCH with If-Match.
 * @throws {CliError} what `send` throws in the end
 */
export async function patientCall(
  patience: Patience | undefined,
  request: { method: string; headers: Readonly<Record<string, string>> },
  send: () => Promise<Answer>,
): Promise<Outcome> {
  if (!patience) return { answer: await send(), isUnsure: false }
  const since = patience.now
  let isUnsure = false
  for (let tries = 0; ; tries++) {
    const outcome = await send().catch((error: unknown) => ({ error }))
    const failure: Failure | undefined =
      'error' in outcome ? failureOfConnection(outcome.error) : failureOfAnswer(outcome, isUnsure)
    const mayRepeat = failure && (!failure.mayHaveRun || isRepeatable(request))
    if (mayRepeat && (await patience.wait(failure, since, tries))) {
      isUnsure ||= failure.mayHaveRun
      continue
    }
    if ('error' in outcome) throw outcome.error
    if (!failure) patience.answered()
    return { answer: outcome, isUnsure }
  }
}

function isRepeatable({ method, headers }: { method: string; headers: Readonly<Record<string, string>> }) {
  if (method === 'POST') return headers['idempotency-key'] !== undefined
  return method !== 'PATCH' || headers['if-match'] !== undefined
}

const failureOfConnection = (error: unknown): Failure | undefined =>
  error instanceof ConnectionFault && error.mayPass
    ? { text: sentence(error.message), mayHaveRun: error.mayHaveRun, isConnection: true }
    : undefined

/** `isUnsure`: the first try may be in progress. */
function failureOfAnswer(answer: Answer, isUnsure: boolean): Failure | undefined {
  const { status, headers } = answer
  const { code, detail } = (answer.body ?? {}) as Record<string, unknown>
  const isInFlight = isUnsure && status === 409 && code === 'idempotency_key_in_flight'
  if (!isInFlight && ![429, 502, 503, 504].includes(status)) return undefined
  const after = headers.get('retry-after') ?? ''
  return {
    text: `The service answers ${status}${typeof detail === 'string' ? `: ${detail}` : '.'}`,
    // Our own 503 is no exception: a commit may be stored that was not answered in time.
    mayHaveRun: status !== 429,
    isConnection: false,
    ...(/^\d{1,6}$/.test(after) && { retryAfterSeconds: Number(after) }),
  }
}

const sentence = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)
