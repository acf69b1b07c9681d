import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, Server as TcpServer } from 'node:net'
import { CannotStart } from '../errors.ts'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import type { Random } from '../system/random.ts'
import type { Tracing } from '../system/tracing.ts'
import { LEFT, logRequest, type NoteRefusal } from './access-log.ts'
import { Arrivals } from './arrivals.ts'
import { boundUnread } from './body-turns.ts'
import type { Trusts } from './caller-address.ts'
import { limitChunks } from './chunk-limit.ts'
import { closeInTurns } from './client-errors.ts'
import { ConnectionLimits, type ConnectionPolicy } from './connection-limits.ts'
import { Pipelining } from './pipelining.ts'
import type { NoteDuration } from './request-durations.ts'
import { openEvent, type RequestEvent } from './request-event.ts'

/**
 * http/ is what all listeners share. Every listener is built on node:http: sockets and their limits, request events,
 * access log, draining. Its application is a table of a few routes (route-table.ts) or, where there are many, Express
 * (express-app.ts).
 */

const HEADERS_TIMEOUT_MS = 5_000
const REQUEST_TIMEOUT_MS = 9_000
/** How much later a slow connection may be closed. With a tenth of it Node reset healthy connections under load. */
const CHECKING_INTERVAL_MS = 1_000
/**
 * Longer than load balancers keep idle connections (Google: 600 s), so that they close first and never send into a closed one.
 */
const KEEP_ALIVE_TIMEOUT_MS = 620_000
const DRAIN_POLL_MS = 50
/** What is left of a drain for the last requests, when connections arrive to its end. */
export const LAST_REQUESTS_MS = 2_000
/** How long the connections that were accepted last have for their first request. */
export const FIRST_REQUEST_MS = 1_000

/**
 * Answers requests with the fixed headers and the request id (answer.ts), and with an error where the event has a
 * fault. `done` is called once: true when the response was sent, false when the client closed the connection first.
 */
export type Application = (
  req: IncomingMessage,
  res: ServerResponse,
  event: RequestEvent,
  done: (answered: boolean) => void,
) => void

/** `arrived`: the clock's `monotonicMs` when the request was read. */
type Serve = (req: IncomingMessage, res: ServerResponse, arrived: number) => void

/** What the requests of every listener need. */
export interface RequestServices {
  logger: Logger
  random: Random
  noteDuration: NoteDuration
  noteRefusal?: NoteRefusal
  trusts: Trusts
  /** Undefined: requests are not traced. */
  tracing?: Tracing | undefined
  /** Whether the `traceparent` of the peer at this address is continued. Undefined: of every peer. */
  continuesTraceOf?: (address: string) => boolean
}

/** Where a listener is reached. */
export interface Address {
  host: string
  port: number
}

/** A port. Answers 503 until `serve` is called. */
export class Listener {
  readonly name: string
  readonly #server: Server
  readonly #clock: Clock
  readonly #limits: ConnectionLimits
  readonly #arrivals: Arrivals
  #closing = false
  #serve: Serve = (_req, res) => void res.writeHead(503, { 'Retry-After': '1' }).end()

  private constructor(name: string, server: Server, clock: Clock, policy: ConnectionPolicy) {
    this.name = name
    this.#server = server
    this.#clock = clock
    this.#limits = new ConnectionLimits(server, name, policy, clock)
    this.#arrivals = new Arrivals(server, clock)
    limitChunks(server, name, policy.logger, clock)
    const pipelining = new Pipelining(server, this.#limits)
    server.on('request', (req, res) => {
      const arrived = clock.monotonicMs()
      const ended = this.#limits.begin(req.socket)
      res.once('close', () => {
        ended()
        if (!req.complete) boundUnread(req)
      })
      pipelining.schedule(req, this.#limits.requestsOf(req.socket), isLast => {
        // Node then sends "Connection: close" and closes the connection.
        if (this.#closing || isLast) res.shouldKeepAlive = false
        this.#serve(req, res, arrived)
      })
    })
  }

  /** Not bound yet. */
  static create(name: string, clock: Clock, policy: ConnectionPolicy): Listener {
    const server = createServer({
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
      connectionsCheckingInterval: CHECKING_INTERVAL_MS,
      maxHeaderSize: 16_384,
      // No body events where no body is announced: `readableEnded` is true from the start.
      optimizeEmptyRequests: true,
    })
    closeInTurns(server)
    return new Listener(name, server, clock, policy)
  }

  static async bind(
    name: string,
    address: Address,
    clock: Clock,
    policy: ConnectionPolicy,
  ): Promise<Listener> {
    const listener = Listener.create(name, clock, policy)
    await listener.listen(address)
    return listener
  }

  /** @throws {CannotStart} that names the variable to change when the port is in use or may not be used. */
  listen(address: Address): Promise<void> {
    return listen(this.#server, this.name, address)
  }

  /** Undefined until it listens. */
  get address(): Address | undefined {
    return addressOf(this.#server)
  }

  /** Connections that were closed because there were too many. */
  get closedConnections(): number {
    return this.#limits.closed
  }

  serve(application: Application, services: RequestServices): void {
    const clock = this.#clock
    const log = { listener: this.name, clock, ...services }
    const { tracing } = services
    this.#serve = (req, res, started) => {
      const event = openEvent(req, res, services)
      const logged = (answered: boolean) =>
        logRequest(log, event, { method: req.method, status: res.statusCode, answered, started })
      if (!tracing) return application(req, res, event, logged)
      const { method, headers, socket } = req
      const continues = services.continuesTraceOf?.(socket.remoteAddress ?? '') ?? true
      const traceparent = continues ? headers.traceparent : undefined
      tracing.request({ listener: this.name, method, traceparent }, end =>
        application(req, res, event, answered => {
          logged(answered)
          end({ ...event, status: answered ? res.statusCode : LEFT })
        }),
      )
    }
  }

  /**
   * Drains, then closes. For `acceptMs` it still accepts connections, because load balancers need that long to see that
   * this process is unready, and as long as connections arrive (arrivals.ts); 0: others accept them already. For `delayMs`
   * every response closes its connection, so that no client reuses one that is about to close. Then idle connections are
   * closed; requests in flight after `deadlineMs` are cut.
   */
  async close(deadlineMs: number, delayMs: number, acceptMs = delayMs): Promise<void> {
    const begin = this.#clock.monotonicMs()
    const leftMs = (ms: number) => Math.max(0, begin + Math.min(ms, deadlineMs) - this.#clock.monotonicMs())
    this.#closing = true
    await this.#clock.sleep(leftMs(acceptMs))
    if (acceptMs > 0) await this.#arrivals.end(begin + deadlineMs - LAST_REQUESTS_MS)
    let closed = false
    this.#server.once('close', () => {
      closed = true
    })
    // close() of node:http would also close connections whose first request was not read yet.
    TcpServer.prototype.close.call(this.#server)
    const lastAccepted = this.#clock.monotonicMs()
    await this.#clock.sleep(leftMs(delayMs))
    await this.#poll(begin + deadlineMs, () => {
      const isLate = this.#clock.monotonicMs() - lastAccepted >= FIRST_REQUEST_MS
      if (isLate || !this.#hasUnread) this.#server.closeIdleConnections()
      return closed
    })
    this.#server.closeAllConnections()
    this.#server.close()
  }

  get #hasUnread(): boolean {
    return [...this.#limits.sockets].some(({ bytesRead }) => bytesRead === 0)
  }

  async #poll(deadline: number, done: () => boolean): Promise<void> {
    while (!done() && this.#clock.monotonicMs() < deadline) await this.#clock.sleep(DRAIN_POLL_MS)
  }
}

/** Connections that wait while the event loop does something else, as far as the kernel allows. Node's 511 are fewer than a gateway may open at once. */
const MOST_UNACCEPTED = 4_096

/** Binds a port. @throws {CannotStart} that names the variable to change when it is in use or may not be used. */
export async function listen(server: TcpServer, name: string, address: Address): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', error => reject(bindError(name, address, error)))
    server.listen(address.port, address.host, MOST_UNACCEPTED, resolve)
  })
}

/** The bound address of a server; undefined until it listens. */
export function addressOf(server: TcpServer): Address | undefined {
  const bound = server.address() as AddressInfo | null
  return bound ? { host: bound.address, port: bound.port } : undefined
}

function bindError(name: string, { host, port }: Address, error: NodeJS.ErrnoException): Error {
  const why = {
    EADDRINUSE: `is in use: set MINTMARK_${name.toUpperCase()}_PORT to a free port (0: any)`,
    EACCES: `is not permitted for this user: set MINTMARK_${name.toUpperCase()}_PORT to a port above 1023`,
    EADDRNOTAVAIL: 'is not an address of this machine: set another host',
    ENOTFOUND: 'is not an address of this machine: set another host',
  }[error.code ?? '']
  return new CannotStart(
    `${host}:${port}, for the ${name} listener, ${why ?? `cannot be used (${error.code})`}`,
    {
      cause: error,
    },
  )
}
