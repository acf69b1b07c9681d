import { performServerHandshake, type ServerHttp2Stream } from 'node:http2'
import { createServer, type Socket, type Server as TcpServer } from 'node:net'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import { withTimeout } from '../system/timeout.ts'
import { Arrivals } from './arrivals.ts'
import { ConnectionLimits, type ConnectionPolicy } from './connection-limits.ts'
import { GrpcCall, type GrpcMessages, STATUS } from './grpc-call.ts'
import { GrpcHealth } from './grpc-health.ts'
import { GrpcDeadlines, HTTP2_OPTIONS } from './grpc-limits.ts'
import { FrameTurns, PacedSocket } from './grpc-turns.ts'
import type { Readiness } from './health.ts'
import { type Address, addressOf, FIRST_REQUEST_MS, LAST_REQUESTS_MS, listen } from './listener.ts'

/** When a connection is silent for so long, TCP asks whether its peer still exists. */
const KEEPALIVE_MS = 60_000
const HEALTH = '/grpc.health.v1.Health/'
/** Their messages name a service, and are read of anyone. */
const LONGEST_HEALTH_BYTES = 1_024

/** Answers a call with this message; undefined: it has been answered. */
export type GrpcHandler = (call: GrpcCall, message: Buffer) => Promise<void> | undefined

/** Decides by the headers of a call whether its message is read. False: it has refused the call. */
export type GrpcAdmission = (call: GrpcCall) => boolean

interface Options extends GrpcMessages {
  /** In logs and metrics. */
  name: string
}

/** A listener for gRPC in plain text, on node:http2. Until methods are added every method is unimplemented. */
export class GrpcListener {
  readonly name: string
  readonly #sockets: TcpServer
  readonly #clock: Clock
  readonly #deadlines: GrpcDeadlines
  readonly #limits: ConnectionLimits
  readonly #turns = new FrameTurns()
  readonly #messages: GrpcMessages
  readonly #methods = new Map<string, GrpcHandler>()
  #admits: GrpcAdmission = () => true
  readonly #arrivals: Arrivals
  #health: GrpcHealth | undefined
  #logger: Logger | undefined

  private constructor(
    sockets: TcpServer,
    clock: Clock,
    policy: ConnectionPolicy,
    { name, ...messages }: Options,
  ) {
    this.name = name
    this.#sockets = sockets
    this.#clock = clock
    this.#deadlines = new GrpcDeadlines(clock)
    this.#messages = messages
    this.#limits = new ConnectionLimits(sockets, name, policy, clock)
    this.#arrivals = new Arrivals(sockets, clock)
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
      const path = headers[':path'] ?? ''
      const isHealth = path.startsWith(HEALTH)
      const longest = isHealth ? LONGEST_HEALTH_BYTES : this.#messages.longest
      const call = new GrpcCall(stream, headers, { peer: paced.peer, ...this.#messages, longest })
      this.#deadlines.addCall(call, session)
      call.onClose(this.#limits.begin(socket))
      const handle = this.#methods.get(path)
      if (!handle) return call.refuse(STATUS.unimplemented, 'The method is not implemented.')
      if (!isHealth && !this.#admits(call)) return
      const fail = (err: unknown) => this.#logger?.error({ listener: this.name, path, err }, 'call failed')
      call.receive(message => handle(call, message), fail)
    })
  }

  /** Not bound yet. */
  static create(options: Options, clock: Clock, policy: ConnectionPolicy): GrpcListener {
    const sockets = createServer({ keepAlive: true, keepAliveInitialDelay: KEEPALIVE_MS })
    return new GrpcListener(sockets, clock, policy, options)
  }

  /** @throws {CannotStart} when the port cannot be bound. */
  listen(address: Address): Promise<void> {
    return listen(this.#sockets, this.name, address)
  }

  /** Undefined until it listens. */
  get address(): Address | undefined {
    return addressOf(this.#sockets)
  }

  /** Connections that were closed because there were too many. */
  get closedConnections(): number {
    return this.#limits.closed
  }

  /**
   * Adds methods by their paths, and the health service, which reports `readiness`. Logs errors of methods. `admits` is asked
   * before the message of a method is read.
   */
  serve(
    methods: Readonly<Record<string, GrpcHandler>>,
    readiness: Readiness,
    logger: Logger,
    admits: GrpcAdmission = () => true,
  ): void {
    this.#logger = logger
    this.#admits = admits
    const health = new GrpcHealth(readiness, this.#clock)
    this.#health = health
    for (const [path, handle] of Object.entries(methods)) this.#methods.set(path, handle)
    this.#methods.set(`${HEALTH}Check`, call => void health.check(call))
    this.#methods.set(`${HEALTH}Watch`, call => void health.watch(call))
  }

  /**
   * For `acceptMs` it still accepts connections, and as long as they arrive (arrivals.ts). Then it asks clients to begin no more calls, and gives them until
   * `delayMs`, at least a second, to read that: calls that they began by then are answered. Calls in flight after
   * `deadlineMs` are cancelled.
   */
  async close(deadlineMs: number, delayMs: number, acceptMs = delayMs): Promise<void> {
    const begin = this.#clock.monotonicMs()
    const leftMs = (ms: number) => Math.max(0, begin + Math.min(ms, deadlineMs) - this.#clock.monotonicMs())
    this.#health?.close()
    await this.#clock.sleep(leftMs(acceptMs))
    if (acceptMs > 0) await this.#arrivals.end(begin + deadlineMs - LAST_REQUESTS_MS)
    const closedAfterMs = this.#clock.monotonicMs() - begin
    const done = new Promise<void>(resolve => this.#sockets.close(() => resolve()))
    this.#deadlines.announceEnd()
    await withTimeout(this.#clock, leftMs(Math.max(delayMs, closedAfterMs + FIRST_REQUEST_MS)), done)
    for (const session of this.#deadlines.sessions) session.close()
    await withTimeout(this.#clock, leftMs(deadlineMs), done)
    for (const session of this.#deadlines.sessions) session.destroy()
    this.#deadlines.stop()
  }
}
