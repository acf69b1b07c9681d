import { performServerHandshake, type ServerHttp2Stream } from 'node:http2'
import { createServer, type Socket, type Server as TcpServer } from 'node:net'
import { ConnectionLimits, type ConnectionPolicy } from '../http/connection-limits.ts'
import type { Readiness } from '../http/health.ts'
import { HeldBytes } from '../http/held-bytes.ts'
import { type Address, addressOf, FIRST_REQUEST_MS, listen } from '../http/listener.ts'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import { withTimeout } from '../system/timeout.ts'
import { GrpcCall, STATUS } from './grpc-call.ts'
import { GrpcHealth } from './grpc-health.ts'
import { GrpcDeadlines, HTTP2_OPTIONS, longestMessage } from './grpc-limits.ts'
import { FrameTurns, PacedSocket } from './grpc-turns.ts'
import { MOST_HELD_BYTES } from './headers.ts'

/** When a connection is silent for so long, TCP asks whether its peer still exists. */
const KEEPALIVE_MS = 60_000
const LISTENER = 'gateway_grpc'

/** Answers a call with this message; undefined: it has been answered. */
export type GrpcHandler = (call: GrpcCall, message: Buffer) => Promise<void> | undefined

/** A listener for gRPC in plain text, on node:http2. Until methods are added every method is unimplemented. */
export class GrpcListener {
  readonly name = LISTENER
  readonly #sockets: TcpServer
  readonly #clock: Clock
  readonly #deadlines: GrpcDeadlines
  readonly #limits: ConnectionLimits
  readonly #turns = new FrameTurns()
  readonly #calls: { held: HeldBytes; longest: number }
  readonly #methods = new Map<string, GrpcHandler>()
  #health: GrpcHealth | undefined
  #logger: Logger | undefined

  private constructor(
    sockets: TcpServer,
    clock: Clock,
    policy: ConnectionPolicy,
    calls: { held: HeldBytes; longest: number },
  ) {
    this.#sockets = sockets
    this.#clock = clock
    this.#deadlines = new GrpcDeadlines(clock)
    this.#calls = calls
    this.#limits = new ConnectionLimits(sockets, LISTENER, policy, clock)
    sockets.on('connection', socket => {
      if (!socket.destroyed) this.#accept(socket)
    })
  }

  #accept(socket: Socket): void {
    const paced = new PacedSocket(socket, this.#turns)
    const session = performServerHandshake(paced, HTTP2_OPTIONS)
    // Every error of a session is followed by its close.
    session.on('error', () => {})
    this.#deadlines.addSession(session)
    session.on('stream', (stream: ServerHttp2Stream, headers) => {
      // Every error of a stream is followed by its close.
      stream.on('error', () => {})
      // Node emits streams a little later: the session may have ended since.
      if (session.destroyed || stream.destroyed) return
      const call = new GrpcCall(stream, { peer: paced.peer, ...this.#calls })
      this.#deadlines.addCall(call, session)
      call.onClose(this.#limits.begin(socket))
      const path = headers[':path'] ?? ''
      const handle = this.#methods.get(path)
      if (!handle) return call.refuse(STATUS.unimplemented, 'The method is not implemented.')
      const fail = (err: unknown) => this.#logger?.error({ listener: LISTENER, path, err }, 'call failed')
      call.receive(headers, message => handle(call, message), fail)
    })
  }

  /** Not bound yet. `readsBody`: whether requests bring a body. `held` bounds what all messages hold together. */
  static create(
    readsBody: boolean,
    clock: Clock,
    policy: ConnectionPolicy,
    held = new HeldBytes(MOST_HELD_BYTES),
  ): GrpcListener {
    const sockets = createServer({ keepAlive: true, keepAliveInitialDelay: KEEPALIVE_MS })
    return new GrpcListener(sockets, clock, policy, { held, longest: longestMessage(readsBody) })
  }

  /** @throws {CannotStart} when the port cannot be bound. */
  listen(address: Address): Promise<void> {
    return listen(this.#sockets, LISTENER, address)
  }

  /** Undefined until it listens. */
  get address(): Address | undefined {
    return addressOf(this.#sockets)
  }

  /** Connections that were closed because there were too many. */
  get closedConnections(): number {
    return this.#limits.closed
  }

  /** Adds methods by their paths, and the health service, which reports `readiness`. Logs errors of methods. */
  serve(methods: Readonly<Record<string, GrpcHandler>>, readiness: Readiness, logger: Logger): void {
    this.#logger = logger
    const health = new GrpcHealth(readiness, this.#clock)
    this.#health = health
    for (const [path, handle] of Object.entries(methods)) this.#methods.set(path, handle)
    this.#methods.set('/grpc.health.v1.Health/Check', call => void health.check(call))
    this.#methods.set('/grpc.health.v1.Health/Watch', call => void health.watch(call))
  }

  /**
   * For `acceptMs` it still accepts connections. Then it asks clients to begin no more calls, and gives them until
   * `delayMs`, at least a second, to read that: calls that they began by then are answered. Calls in flight after
   * `deadlineMs` are cancelled.
   */
  async close(deadlineMs: number, delayMs: number, acceptMs = delayMs): Promise<void> {
    const begin = this.#clock.monotonicMs()
    const leftMs = (ms: number) => Math.max(0, begin + Math.min(ms, deadlineMs) - this.#clock.monotonicMs())
    this.#health?.close()
    await this.#clock.sleep(leftMs(acceptMs))
    const done = new Promise<void>(resolve => this.#sockets.close(() => resolve()))
    this.#deadlines.announceEnd()
    await withTimeout(this.#clock, leftMs(Math.max(delayMs, acceptMs + FIRST_REQUEST_MS)), done)
    for (const session of this.#deadlines.sessions) session.close()
    await withTimeout(this.#clock, leftMs(deadlineMs), done)
    for (const session of this.#deadlines.sessions) session.destroy()
    this.#deadlines.stop()
  }
}
