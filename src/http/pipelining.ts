import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import type { ConnectionLimits } from './connection-limits.ts'

/** Requests of one connection that are not answered yet. Gateways and SDKs wait for each answer. */
const MOST_UNANSWERED = 32
/** Requests, of all connections, that were sent before the last one was answered and begin in one turn of the event loop. */
const BEGUN_IN_A_TURN = 16
/** What Node's parser takes for "the rest is not HTTP", as after an upgrade. */
const STOP = 2

/** Node's parser of a connection: `onIncoming` gets each request when its headers were read. Not documented by Node. */
interface Parser {
  onIncoming?: (req: IncomingMessage, shouldKeepAlive: boolean) => number
}

/**
 * Node reads 64 KiB of a connection in one turn of the event loop and handles every request in it before anything else:
 * hundreds of small requests that were sent without waiting for an answer (pipelining, RFC 9112 section 9.3.2) hold up all
 * other clients. Here the first one of each connection begins at once, and the others a few in each turn. After
 * MOST_UNANSWERED requests nothing more is read of the connection, and it is closed when these are answered.
 */
export class Pipelining {
  readonly #connections: Pick<ConnectionLimits, 'requestsOf'>
  readonly #waiting: (() => void)[] = []

  /** Limits the connections of `server`, which upgrades none. */
  constructor(server: Server, connections: Pick<ConnectionLimits, 'requestsOf'>) {
    this.#connections = connections
    server.on('connection', (socket: Socket) => this.#limit(server, socket))
  }

  /**
   * Calls `begin` now or in a later turn, with true for the last request that is read of the connection. `place`: how many
   * requests its connection has in progress, this one included.
   */
  schedule(place: number, begin: (isLast: boolean) => void): void {
    if (place === 1) return void begin(false)
    if (this.#waiting.length === 0) setImmediate(this.#beginSome)
    this.#waiting.push(() => begin(place === MOST_UNANSWERED))
  }

  #limit(server: Server, socket: Socket): void {
    const { parser } = socket as Socket & { parser?: Parser }
    const onIncoming = parser?.onIncoming
    if (!parser || !onIncoming) return
    parser.onIncoming = (req, shouldKeepAlive) => {
      if (this.#connections.requestsOf(socket) < MOST_UNANSWERED) return onIncoming(req, shouldKeepAlive)
      Object.assign(req, { upgrade: true })
      // Emitted as soon as the parser has stopped. The answers that are due are still written, and the last of them closes
      // the connection.
      server.once(req.method === 'CONNECT' ? 'connect' : 'upgrade', () =>
        socket.on('error', () => {}).resume(),
      )
      return STOP
    }
  }

  readonly #beginSome = (): void => {
    const due = this.#waiting.splice(0, BEGUN_IN_A_TURN)
    for (const begin of due) begin()
    if (this.#waiting.length > 0) setImmediate(this.#beginSome)
  }
}
