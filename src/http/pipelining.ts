import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import { routedNetworkOf } from '../system/ip-address.ts'
import type { ConnectionLimits } from './connection-limits.ts'
import { Turns } from './turns.ts'

/** Requests of one connection that are not answered yet. Gateways and SDKs wait for each answer. */
const MOST_UNANSWERED = 32
/**
 * Requests, of all connections, that begin in one turn of the event loop; and as many that were sent before the last one of
 * their connection was answered. More would not be faster, and the first of them would be answered later.
 */
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
 * other clients. Here a few of them begin in each turn. After MOST_UNANSWERED requests nothing more is read of the
 * connection, and it is closed when these are answered.
 *
 * The first requests of connections begin a few in each turn as well, all at its end: requests that begin together take far
 * less time. docs/decisions/0037-requests-of-a-turn-together.md. Networks of peers alternate, so that the requests of thousands of
 * connections from one do not hold up the others.
 */
export class Pipelining {
  readonly #connections: Pick<ConnectionLimits, 'requestsOf'>
  readonly #first = new Turns(BEGUN_IN_A_TURN)
  readonly #others = new Turns(BEGUN_IN_A_TURN)
  readonly #networks = new WeakMap<Socket, string>()

  /** Limits the connections of `server`, which upgrades none. */
  constructor(server: Server, connections: Pick<ConnectionLimits, 'requestsOf'>) {
    this.#connections = connections
    server.on('connection', (socket: Socket) => this.#limit(server, socket))
  }

  /**
   * Calls `begin` at the end of this turn or of a later one, with true for the last request that is read of the connection. `place`:
   * how many requests its connection has in progress, this one included.
   */
  schedule(req: IncomingMessage, place: number, begin: (isLast: boolean) => void): void {
    if (place > 1) this.#others.add(() => begin(place === MOST_UNANSWERED), 1, this.#networkOf(req))
    else if (isAnnounced(req)) this.#first.add(() => begin(false), 1, this.#networkOf(req))
    else begin(false)
  }

  #networkOf({ socket }: IncomingMessage): string {
    const known = this.#networks.get(socket)
    if (known !== undefined) return known
    const network = routedNetworkOf(socket.remoteAddress ?? '')
    this.#networks.set(socket, network)
    return network
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

/**
 * Bodies in chunks do not wait: what has come of a body counts only once its request begins (held-bytes.ts), and thousands of
 * chunks of a byte take far more memory than their bytes. Of another body Node reads 128 KiB until then.
 */
const isAnnounced = ({ headers }: Pick<IncomingMessage, 'headers'>) =>
  headers['transfer-encoding'] === undefined
