import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import express, { type Express, type RequestHandler } from 'express'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import type { Random } from '../system/random.ts'
import { accessLog } from './access-log.ts'
import { requestContext } from './request-context.ts'
import type { NoteDuration } from './request-durations.ts'
import { RequestError } from './request-error.ts'

/** http/ is what all listeners share: sockets and their limits, bodies, the event of a request, health. */

const HEADERS_TIMEOUT_MS = 5_000
const REQUEST_TIMEOUT_MS = 10_000
/** Longer than proxies keep idle connections, so that they close first and never send into a closed one. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000
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
      connectionsCheckingInterval: 1_000,
      maxHeaderSize: 16_384,
    })
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
   * Says goodbye, then closes. For up to a second every answer ends its connection, so that no client's next request
   * meets a closed one; then nothing new comes in, and what is in flight by `deadlineMs` is cut.
   */
  async close(deadlineMs: number): Promise<void> {
    const begin = this.#clock.monotonicMs()
    this.#closing = true
    await this.#poll(
      begin + Math.min(GOODBYE_MS, deadlineMs),
      async () => (await this.#countConnections()) === 0,
    )
    let closed = false
    this.#server.close(() => {
      closed = true
    })
    await this.#poll(begin + deadlineMs, async () => {
      this.#server.closeIdleConnections()
      return closed
    })
    this.#server.closeAllConnections()
  }

  async #poll(deadline: number, done: () => Promise<boolean>): Promise<void> {
    while (!(await done()) && this.#clock.monotonicMs() < deadline) await this.#clock.sleep(DRAIN_POLL_MS)
  }

  #countConnections(): Promise<number> {
    return new Promise(resolve => this.#server.getConnections((_error, count) => resolve(count)))
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
  return new Error(`${host}:${port}, for the ${name} listener, ${why ?? `cannot be used (${error.code})`}`, {
    cause: error,
  })
}

/** An Express application with what every listener does before its routes. */
export function createApp(options: {
  listener: string
  logger: Logger
  clock: Clock
  random: Random
  trustedProxies: readonly string[]
  noteDuration: NoteDuration
}): Express {
  const app = express()
  app.disable('x-powered-by').disable('etag').enable('strict routing').enable('case sensitive routing')
  app.set('query parser', 'simple')
  app.set('trust proxy', options.trustedProxies.length > 0 ? [...options.trustedProxies] : false)
  app.use(requestContext(options.random), accessLog(options), fixedHeaders, refuseAmbiguous)
  return app
}

const fixedHeaders: RequestHandler = (_req, res, next) => {
  res.set({
    'Cache-Control': 'no-store',
    'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
  })
  next()
}

const ONCE = new Set([
  'host',
  'authorization',
  'content-type',
  'content-length',
  'content-encoding',
  'x-api-key',
])

/** Node keeps the first of two equal headers, others the last: what can be read in two ways is refused. */
const refuseAmbiguous: RequestHandler = (req, _res, next) => {
  if (!req.url.startsWith('/')) return next(new RequestError(400, 'The request target must be a path.'))
  const repeated = repeatedHeader(req)
  if (repeated) return next(new RequestError(400, `The header ${repeated} is there twice.`))
  next()
}

function repeatedHeader(req: IncomingMessage): string | undefined {
  const names = req.rawHeaders.filter((_, index) => index % 2 === 0).map(name => name.toLowerCase())
  return names.find((name, index) => ONCE.has(name) && names.indexOf(name) < index)
}

/** Answers every other method on a path with 405 and what is allowed (RFC 9110 §15.5.6). */
export function onlyMethods(...allowed: string[]): RequestHandler {
  const allow = (allowed.includes('GET') ? [...allowed, 'HEAD'] : allowed).join(', ')
  return (_req, _res, next) => {
    next(new RequestError(405, `Use ${allow} here.`, { Allow: allow }))
  }
}
