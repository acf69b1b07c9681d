import { constants, type ServerHttp2Session, type ServerOptions } from 'node:http2'
import type { Clock } from '../system/clock.ts'
import type { GrpcCall } from './grpc-call.ts'

/**
 * The bounds on what a peer of the gRPC listener can hold, whether or not it ever sends a whole request. Gateways need far
 * less.
 */

/** As long as a gateway waits for an answer (CHECK_SECONDS in deploy/generate). */
const MESSAGE_DEADLINE_MS = 5_000
/** Of a whole call: a decision may wait for the database, and an answer for a client that does not read. */
const CALL_DEADLINE_MS = 30_000
/** After which a reset that the client has not taken ends its connection. */
const RESET_DEADLINE_MS = 5_000
/** Longer than `idle_timeout` in deploy/envoy, so that the gateway closes first. */
const CONNECTION_IDLE_MS = 90_000
const CONNECTION_AGE_MS = 3_600_000
/** Calls that the client began before it knew that the connection ends are still answered. */
const CONNECTION_GRACE_MS = 10_000
const CHECKING_MS = 1_000
const HIGHEST_STREAM = 2 ** 31 - 1

/** Options of node:http2, in addition to its own limits of floods of frames and of what one session holds. */
export const HTTP2_OPTIONS: ServerOptions = {
  settings: { maxConcurrentStreams: 200, maxHeaderListSize: 16_384 },
  maxHeaderListPairs: 64,
  // A gateway resets a check when its client leaves. By Node's limit of 33 a second, clients that leave would end the
  // connection on which the gateway has everyone's checks.
  streamResetBurst: 4_000,
  streamResetRate: 2_000,
}

/** Resets calls that take too long, and ends connections that are idle or old. */
export class GrpcDeadlines {
  /** With the time at which they began, oldest first. */
  readonly #calls = new Map<GrpcCall, number>()
  readonly #sessions = new Map<ServerHttp2Session, Connection>()
  readonly #clock: Clock
  /** Ends the checking. */
  readonly stop: () => void

  constructor(clock: Clock) {
    this.#clock = clock
    this.stop = clock.every(CHECKING_MS, async () => {
      const now = clock.monotonicMs()
      for (const [call, began] of this.#calls) {
        if (now - began < MESSAGE_DEADLINE_MS) break
        checkCall(call, now - began)
      }
      for (const [session, connection] of this.#sessions) checkConnection(session, connection, now)
    })
  }

  get sessions(): Iterable<ServerHttp2Session> {
    return this.#sessions.keys()
  }

  /** Clients begin no more calls on these connections once they have read it. */
  announceEnd(): void {
    for (const session of this.#sessions.keys()) if (!session.destroyed) announceEnd(session)
  }

  addSession(session: ServerHttp2Session): void {
    const now = this.#clock.monotonicMs()
    this.#sessions.set(session, { opened: now, idleSince: now, calls: 0 })
    session.once('close', () => this.#sessions.delete(session))
  }

  addCall(call: GrpcCall, session: ServerHttp2Session): void {
    const connection = this.#sessions.get(session)
    this.#calls.set(call, this.#clock.monotonicMs())
    if (connection) connection.calls++
    call.onClose(() => {
      this.#calls.delete(call)
      if (!connection) return
      connection.calls--
      connection.idleSince = this.#clock.monotonicMs()
    })
  }
}

interface Connection {
  opened: number
  idleSince: number
  /** Calls in progress. */
  calls: number
}

function checkCall(call: GrpcCall, age: number): void {
  if (call.received && call.watching) return
  const deadline = call.received ? CALL_DEADLINE_MS : MESSAGE_DEADLINE_MS
  if (age >= deadline + RESET_DEADLINE_MS) call.disconnect()
  else if (age >= deadline) call.drop()
}

function checkConnection(
  session: ServerHttp2Session,
  { opened, idleSince, calls }: Connection,
  now: number,
): void {
  const idle = calls === 0 && now - idleSince >= CONNECTION_IDLE_MS
  const over = now - opened - CONNECTION_AGE_MS
  if (idle || over >= 2 * CONNECTION_GRACE_MS) session.destroy()
  else if (over >= CONNECTION_GRACE_MS) session.close()
  else if (over >= 0) announceEnd(session)
}

const announceEnd = (session: ServerHttp2Session) =>
  session.goaway(constants.NGHTTP2_NO_ERROR, HIGHEST_STREAM)
