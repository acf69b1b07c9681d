import type { Server, Socket } from 'node:net'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'

export interface MostConnections {
  total: number
  ofOneSource: number
}

/** How a listener limits its connections. */
export interface ConnectionPolicy {
  most: MostConnections
  /** What connections are counted under, by the peer's address. */
  sourceOf: (address: string) => string
  /** A proxy has as many connections as its clients need, within the total, and keeps them. */
  isProxy: (address: string) => boolean
  logger: Logger
}

interface Connection {
  socket: Socket
  source: Source
  /** Requests in progress. */
  requests: number
}

interface Source {
  name: string
  proxy: boolean
  /** Oldest first. */
  readonly connections: Set<Connection>
}

const LOGGED_EVERY_MS = 60_000

/**
 * Bounds the connections of a listener, in total and of one source. For a new one beyond a bound the source that has most
 * gives one up: the oldest without a request in progress. So silent connections, however many, keep out no other source.
 */
export class ConnectionLimits {
  /** Connections that were closed because there were too many. */
  closed = 0
  readonly #name: string
  readonly #policy: ConnectionPolicy
  readonly #clock: Clock
  readonly #sources = new Map<string, Source>()
  readonly #connections = new Map<Socket, Connection>()
  #lastLogged = Number.NEGATIVE_INFINITY

  /** `name` is that of the listener. Begins to limit the server's connections. */
  constructor(server: Server, name: string, policy: ConnectionPolicy, clock: Clock) {
    this.#name = name
    this.#policy = policy
    this.#clock = clock
    server.prependListener('connection', (socket: Socket) => this.#add(socket))
  }

  /** The open connections. */
  get sockets(): Iterable<Socket> {
    return this.#connections.keys()
  }

  /** A request has begun on the connection. Call the result when it is over. */
  begin(socket: Socket): () => void {
    const connection = this.#connections.get(socket)
    if (!connection) return () => {}
    connection.requests++
    return () => {
      connection.requests--
    }
  }

  /** Requests in progress on the connection. */
  requestsOf(socket: Socket): number {
    return this.#connections.get(socket)?.requests ?? 0
  }

  #add(socket: Socket): void {
    const address = socket.remoteAddress ?? ''
    const { most, sourceOf, isProxy } = this.#policy
    const name = sourceOf(address)
    const source = this.#sources.get(name) ?? { name, proxy: isProxy(address), connections: new Set() }
    if (!source.proxy && source.connections.size >= most.ofOneSource) {
      const oldest = oldestIdle(source)
      this.#close(source, oldest?.socket ?? socket)
      if (!oldest) return
    } else if (this.#connections.size >= most.total) {
      const largest = this.#largest()
      const victim = largest && (oldestIdle(largest) ?? largest.connections.values().next().value)
      this.#close(largest ?? source, victim?.socket ?? socket)
      if (!victim) return
    }
    this.#sources.set(name, source)
    const connection = { socket, source, requests: 0 }
    source.connections.add(connection)
    this.#connections.set(socket, connection)
    socket.once('close', () => this.#remove(socket))
  }

  #close({ name }: Source, socket: Socket): void {
    this.closed++
    this.#remove(socket)
    socket.destroy()
    const now = this.#clock.monotonicMs()
    if (now - this.#lastLogged < LOGGED_EVERY_MS) return
    this.#lastLogged = now
    const { total, ofOneSource } = this.#policy.most
    this.#policy.logger.warn(
      {
        listener: this.#name,
        source: name,
        ofSource: this.#sources.get(name)?.connections.size ?? 0,
        connections: this.#connections.size,
        most: total,
        mostOfOneSource: ofOneSource,
        closed: this.closed,
      },
      'too many connections',
    )
  }

  #remove(socket: Socket): void {
    const connection = this.#connections.get(socket)
    if (!connection) return
    const { source } = connection
    this.#connections.delete(socket)
    source.connections.delete(connection)
    if (source.connections.size === 0) this.#sources.delete(source.name)
  }

  /** Undefined when all are proxies. */
  #largest(): Source | undefined {
    let largest: Source | undefined
    for (const source of this.#sources.values()) {
      if (!source.proxy && source.connections.size > (largest?.connections.size ?? 0)) largest = source
    }
    return largest
  }
}

function oldestIdle({ connections }: Source): Connection | undefined {
  for (const connection of connections) if (connection.requests === 0) return connection
  return undefined
}
