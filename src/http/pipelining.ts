import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import type { ConnectionLimits } from './connection-limits.ts'
import { Turns } from './turns.ts'

/** Requests of one connection that are not answered yet. Gateways and SDKs wait for each answer. */
const MOST_UNANSWERED = 32
/** Requests, each the only one of its connection, that begin in one turn of the event loop. */
const BEGUN_IN_A_TURN = 64
/** The same of requests that were sent before the last one of their connection was answered. */
const EARLY_BEGUN_IN_A_TURN = 16
/** What Node's parser takes for "the rest is not HTTP", as after an upgrade. */
const STOP = 2

/** Node's parser of a connection: `onIncoming` gets each request when its headers were read. Not documented by Node. */
interface Parser {
  onIncoming?: (req: IncomingMessage, shouldKeepAlive: boolean) => number
}

/**
 * Node reads 64 KiB of a connection in one turn of the event loop and handles every request in it before anything else:
 * hundreds of small requests that were sent without waiting for an answer (pipelining, RFC 9112 section 9.3.2) hold up all
 * other clients. Here the first one of each connection begins at the end of the turn, and the others a few in each turn. After
 * MOST_UNANSWERED requests nothing more is read of the connection, and it is closed when these are answered.
 *
 * The first ones of a turn begin together: their steps then alternate, so that the processor runs the same code for all of
 * them, and reads and writes sockets many times in a row. This halves the time of each.
 * docs/decisions/0037-requests-of-a-turn-together.md
 */
export class Pipelining {
  readonly #connections: Pick<ConnectionLimits, 'requestsOf'>
  readonly #first = new Turns(BEGUN_IN_A_TURN)
  readonly #others = new Turns(EARLY_BEGUN_IN_A_TURN)

  /** Limits the connections of `server`, which upgrades none. */
  constructor(server: Server, connections: Pick<ConnectionLimits, 'requestsOf'>) {
    this.#connections = connections
    server.on('connection', (socket: Socket) => this.#limit(server, socket))
  }

  /**
   * Calls `begin` at the end of this turn or of a later one, with true for the last request that is read of the connection. `place`:
   * how many requests its connection has in progress, this one included.
   */
  schedule(place: number, begin: (isLast: boolean) => void): void {
    const turns = place === 1 ? this.#first : this.#others
    turns.add(() => begin(place === MOST_UNANSWERED))
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
}
