import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import express, { type Express, type RequestHandler } from 'express'
import { CannotStart } from '../errors.ts'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import type { Random } from '../system/random.ts'
import { accessLog } from './access-log.ts'
import { FIXED_HEADERS } from './answer.ts'
import type { Trusts } from './caller-address.ts'
import { closeInTurns } from './client-errors.ts'
import { requestContext } from './request-context.ts'
import type { NoteDuration } from './request-durations.ts'
import { RequestError } from './request-error.ts'

/** http/ is what all listeners share: sockets and their limits, bodies, the event of a request, health. */

const HEADERS_TIMEOUT_MS = 5_000
const REQUEST_TIMEOUT_MS = 9_000
/** How much later than that a slow connection may go. With a tenth of it Node reset sound connections under load. */
const CHECKING_INTERVAL_MS = 1_000
/** Longer than proxies keep idle connections, so that they close first and never send into a closed one. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000
/** Longer than a load balancer that asks `/readyz` often needs to send its requests elsewhere. */
const GOODBYE_MS = 1_000
const DRAIN_POLL_MS = 50

/** A bound port. Until `serve` is called every request is answered 503. */
export class Listener {
  readonly name: string
  readonly #server: Server
  readonly #clock: Clock
  #closing = false
  #serve: RequestListener = (_req, res) => void res.writeHead(503, { 'Retry-After': '1' }).end()

  private constructor(name: string, server: Server, clock: Clock) {
    this.name = name
    this.#server = server
    this.#clock = clock
    server.on('request', (req, res) => {
      // Node then says "Connection: close" and means it.
      if (this.#closing) res.shouldKeepAlive = false
      this.#serve(req, res)
    })
  }

  /** @throws {Error} that names the variable to change when the port is taken or may not be used. */
  static async bind(name: string, address: { host: string; port: number }, clock: Clock): Promise<Listener> {
    const server = createServer({
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
      connectionsCheckingInterval: CHECKING_INTERVAL_MS,
      maxHeaderSize: 16_384,
      // No stream of a body where none was announced: `readableEnded` is true from the start.
      optimizeEmptyRequests: true,
    })
    closeInTurns(server)
    const listener = new Listener(name, server, clock)
    await new Promise<void>((resolve, reject) => {
      server.once('error', error => reject(bindError(name, address, error)))
      server.listen(address.port, address.host, resolve)
    })
    return listener
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  serve(app: RequestListener): void {
    this.#serve = app
  }

  /**
   * Says goodbye, then closes. For a second it goes on taking connections, because whoever balances the load learns only
   * meanwhile that this process is unready, and every answer ends its connection, so that no client's next request meets
   * a closed one; then nothing new comes in, and what is in flight by `deadlineMs` is cut.
   */
  async close(deadlineMs: number, goodbyeMs = GOODBYE_MS): Promise<void> {
    const begin = this.#clock.monotonicMs()
    this.#closing = true
    await this.#clock.sleep(Math.min(goodbyeMs, deadlineMs))
    let closed = false
    this.#server.close(() => {
      closed = true
    })
    await this.#poll(begin + deadlineMs, () => {
      this.#server.closeIdleConnections()
      return closed
    })
    this.#server.closeAllConnections()
  }

  async #poll(deadline: number, done: () => boolean): Promise<void> {
    while (!done() && this.#clock.monotonicMs() < deadline) await this.#clock.sleep(DRAIN_POLL_MS)
  }
}

function bindError(
  name: string,
  { host, port }: { host: string; port: number },
  error: NodeJS.ErrnoException,
): Error {
  const why = {
    EADDRINUSE: `is taken: set MINTMARK_${name.toUpperCase()}_PORT (0 takes any free port)`,
    EACCES: `may not be used by this user: set MINTMARK_${name.toUpperCase()}_PORT to one above 1023`,
    EADDRNOTAVAIL: 'is not on this machine: set another host',
    ENOTFOUND: 'is no address of this machine: set another host',
  }[error.code ?? '']
  return new CannotStart(
    `${host}:${port}, for the ${name} listener, ${why ?? `cannot be used (${error.code})`}`,
    {
      cause: error,
    },
  )
}

/** What handling a request of a listener takes, whoever answers it. */
export interface ListenerOptions {
  /** Its name. */
  listener: string
  logger: Logger
  clock: Clock
  random: Random
  noteDuration: NoteDuration
  trusts: Trusts
}

/** An Express application with what every listener does before its routes, and the options for answering beside it. */
export function createApp(options: Omit<ListenerOptions, 'trusts'> & { trustedProxies: readonly string[] }): {
  app: Express
  options: ListenerOptions
} {
  const { trustedProxies, ...rest } = options
  const app = express()
  app.disable('x-powered-by').disable('etag').enable('strict routing').enable('case sensitive routing')
  app.set('query parser', 'simple')
  app.set('trust proxy', trustedProxies.length > 0 ? [...trustedProxies] : false)
  const all: ListenerOptions = { ...rest, trusts: app.get('trust proxy fn') }
  app.use(requestContext(all), accessLog(all), fixedHeaders, refuseAmbiguous)
  return { app, options: all }
}

const fixedHeaders: RequestHandler = (_req, res, next) => {
  res.set(FIXED_HEADERS)
  next()
}

const refuseAmbiguous: RequestHandler = (req, _res, next) => next(ambiguity(req))

const ONCE = new Set([
  'host',
  'authorization',
  'content-type',
  'content-length',
  'content-encoding',
  'x-api-key',
  'idempotency-key',
  'if-match',
])

/** Node keeps the first of two equal headers, others the last: what can be read in two ways is refused. */
export function ambiguity(req: IncomingMessage): RequestError | undefined {
  if (!req.url?.startsWith('/')) return new RequestError(400, 'The request target must be a path.')
  const repeated = repeatedHeader(req.rawHeaders)
  return repeated ? new RequestError(400, `The header ${repeated} is there twice.`) : undefined
}

/** `rawHeaders` are names and values in turn. */
function repeatedHeader(rawHeaders: readonly string[]): string | undefined {
  const seen: string[] = []
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]?.toLowerCase() ?? ''
    if (!ONCE.has(name)) continue
    if (seen.includes(name)) return name
    seen.push(name)
  }
  return undefined
}

/** Answers every other method on a path with 405 and what is allowed (RFC 9110 §15.5.6). */
export function onlyMethods(...allowed: string[]): RequestHandler {
  const allow = (allowed.includes('GET') ? [...allowed, 'HEAD'] : allowed).join(', ')
  return (_req, _res, next) => {
    next(new RequestError(405, `Use ${allow} here.`, { Allow: allow }))
  }
}
