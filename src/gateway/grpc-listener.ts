import {
  createServer as createHttp2Server,
  type Http2Server,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import { createServer, type Server as TcpServer } from 'node:net'
import { limitConnections } from '../http/connection-limits.ts'
import type { Readiness } from '../http/health.ts'
import { HeldBytes } from '../http/held-bytes.ts'
import { type Address, addressOf, FIRST_REQUEST_MS, listen } from '../http/listener.ts'
import type { Clock } from '../system/clock.ts'
import { withTimeout } from '../system/timeout.ts'
import { GrpcCall, STATUS } from './grpc-call.ts'
import { GrpcHealth } from './grpc-health.ts'
import { GrpcDeadlines, HTTP2_OPTIONS, longestMessage, MOST_CONNECTIONS } from './grpc-limits.ts'
import { MOST_HELD_BYTES } from './headers.ts'

/** When a connection is silent for so long, TCP asks whether its peer still exists. */
const KEEPALIVE_MS = 60_000

/** Answers a call with this message; undefined: it has been answered. */
export type GrpcHandler = (call: GrpcCall, message: Buffer) => Promise<void> | undefined

/** A listener for gRPC in plain text, on node:http2. Until methods are added every method is unimplemented. */
export class GrpcListener {
  readonly #sockets: TcpServer
  readonly #clock: Clock
  readonly #deadlines: GrpcDeadlines
  readonly #methods = new Map<string, GrpcHandler>()
  #health: GrpcHealth | undefined

  private constructor(
    sockets: TcpServer,
    http2: Http2Server,
    clock: Clock,
    { held, longest }: { held: HeldBytes; longest: number },
  ) {
    this.#sockets = sockets
    this.#clock = clock
    this.#deadlines = new GrpcDeadlines(clock)
    http2.on('session', (session: ServerHttp2Session) => {
      // Every error of a session is followed by its close.
      session.on('error', () => {})
      this.#deadlines.addSession(session)
    })
    http2.on('stream', (stream: ServerHttp2Stream, headers) => {
      // Every error of a stream is followed by its close.
      stream.on('error', () => {})
      // Node emits streams a little later: the session may have ended since.
      const session = stream.session as ServerHttp2Session | undefined
      const peer = this.#deadlines.addressOf(session)
      if (session === undefined || peer === undefined || stream.destroyed) return
      const call = new GrpcCall(stream, { peer, held, longest })
      this.#deadlines.addCall(call, session)
      const handle = this.#methods.get(headers[':path'] ?? '')
      if (!handle) return call.refuse(STATUS.unimplemented, 'The method is not implemented.')
      call.receive(headers, message => handle(call, message))
    })
  }

  /** Not bound yet. `readsBody`: whether requests bring a body. `held` bounds what all messages hold together. */
  static create(readsBody: boolean, clock: Clock, held = new HeldBytes(MOST_HELD_BYTES)): GrpcListener {
    const sockets = createServer({ keepAlive: true, keepAliveInitialDelay: KEEPALIVE_MS })
    limitConnections(sockets, MOST_CONNECTIONS)
    const http2 = createHttp2Server(HTTP2_OPTIONS)
    sockets.on('connection', socket => {
      if (!socket.destroyed) http2.emit('connection', socket)
    })
    return new GrpcListener(sockets, http2, clock, { held, longest: longestMessage(readsBody) })
  }

  /** @throws {CannotStart} when the port cannot be bound. */
  listen(address: Address): Promise<void> {
    return listen(this.#sockets, 'gateway_grpc', address)
  }

  /** Undefined until it listens. */
  get address(): Address | undefined {
    return addressOf(this.#sockets)
  }

  /** Adds methods by their paths, and the health service, which reports `readiness`. */
  serve(methods: Readonly<Record<string, GrpcHandler>>, readiness: Readiness): void {
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
