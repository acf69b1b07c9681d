import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2'
import type { Socket, Server as TcpServer } from 'node:net'
import type { XdsConfig } from '../config/xds-config.ts'
import { ConnectionLimits, type ConnectionPolicy } from '../http/connection-limits.ts'
import { type Address, addressOf, listen } from '../http/listener.ts'
import { UnreadableMessage } from '../http/protobuf.ts'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import type { GatewayConnections } from '../token-revocations/gateway-connections.ts'
import { connectionsServer } from './connections.ts'
import { METHOD, readRequest } from './discovery-messages.ts'
import { DiscoveryStream, type RevocationSource } from './discovery-stream.ts'
import { end, framed, receiveMessages } from './grpc-stream.ts'
import { answerList, LIST_PATH } from './revocation-list.ts'

const LISTENER = 'xds'
/** How long a change may wait until it is sent. */
const PUSH_MS = 50
/** A connection without a gateway is closed, and one that does not answer a ping. */
const CHECK_MS = 15_000
/** A replica that has not read changes for this long sends its gateways away: another one may have them. */
const CUT_OFF_MS = 5_000
const STATUS = { ok: 0, unimplemented: 12, unavailable: 14, unauthenticated: 16 }

type Peer = Pick<Socket, 'remoteAddress' | 'remotePort'>

interface SessionState {
  /** The client's end of the connection. */
  readonly peer: Peer
  /** Streams of gateways on the connection. */
  readonly gateways: Set<ServerHttp2Stream>
  /** Monotonic milliseconds. */
  readonly openedAt: number
  /** Its gateways were sent away. */
  isLeaving: boolean
  /** It was opened after the last check. */
  isNew: boolean
  /** It answered the last ping. */
  answered: boolean
}

/** What gateways are sent, and where their connections are noted. */
export interface Serving {
  source: RevocationSource
  connections: GatewayConnections
  logger: Logger
  /** Epoch milliseconds, database time. */
  now: () => number
}

/** The listener for gateways that keep the deny list: gRPC on node:http2, with a bearer token, a client certificate, or both. */
export class XdsListener {
  readonly name = LISTENER
  readonly #config: XdsConfig | undefined
  readonly #clock: Clock
  readonly #limits: ConnectionLimits | undefined
  readonly #server: TcpServer | undefined
  readonly #tokens: readonly { gateway: string | undefined; digest: Buffer }[]
  readonly #streams = new Set<DiscoveryStream>()
  readonly #sessions = new Map<ServerHttp2Session, SessionState>()
  #stops: (() => void)[] = []
  #serving: Serving | undefined

  /** Without a configuration it never listens. */
  constructor(config: XdsConfig | undefined, clock: Clock, policy: ConnectionPolicy) {
    this.#config = config
    this.#clock = clock
    this.#tokens = (config?.tokens ?? []).map(({ gateway, token }) => ({
      gateway,
      digest: sha256(token.reveal()),
    }))
    if (!config) return
    this.#server = connectionsServer(config.tls, clock, (session, socket) =>
      this.#addSession(session, socket),
    )
    this.#limits = new ConnectionLimits(this.#server, LISTENER, policy, clock)
  }

  /** @throws {CannotStart} when the port cannot be bound. */
  async listen(address: Address): Promise<void> {
    if (this.#server) await listen(this.#server, LISTENER, address)
  }

  /** Undefined until it listens. */
  get address(): Address | undefined {
    return this.#server && addressOf(this.#server)
  }

  /** Connections that were closed because there were too many. */
  get closedConnections(): number {
    return this.#limits?.closed ?? 0
  }

  serve(serving: Serving): void {
    if (!this.#config) return
    this.#serving = serving
    this.#stops = [
      this.#clock.every(PUSH_MS, async () => {
        for (const stream of this.#streams) stream.push()
        this.#sendAway(serving)
      }),
      this.#clock.every(CHECK_MS, async () => this.#check()),
    ]
  }

  /** Gateways keep what they have, and connect to another replica. */
  async close(): Promise<void> {
    for (const stop of this.#stops) stop()
    const done = new Promise<void>(resolve => {
      if (this.#server?.listening) this.#server.close(() => resolve())
      else resolve()
    })
    for (const socket of this.#limits?.sockets ?? []) socket.destroy()
    await done
  }

  #addSession(session: ServerHttp2Session, { remoteAddress, remotePort }: Socket): void {
    this.#sessions.set(session, {
      peer: { remoteAddress, remotePort },
      gateways: new Set(),
      openedAt: this.#clock.monotonicMs(),
      isLeaving: false,
      isNew: true,
      answered: true,
    })
    // Every error of a connection is followed by its close.
    session.on('error', () => {})
    session.on('close', () => this.#sessions.delete(session))
    session.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      stream.on('error', () => {})
      // Node emits streams a little later: they may have ended since.
      if (!session.destroyed && !stream.destroyed) this.#accept(stream, headers)
    })
  }

  /** As `ConnectionLimits` has it: below TLS. Looked for once a gateway is authenticated, because it takes longer the more connections there are. */
  #socketOf({ remoteAddress, remotePort }: Peer): Socket | undefined {
    for (const socket of this.#limits?.sockets ?? [])
      if (socket.remotePort === remotePort && socket.remoteAddress === remoteAddress) return socket
    return undefined
  }

  #check(): void {
    for (const [session, state] of this.#sessions) {
      if ((state.gateways.size === 0 && !state.isNew) || !state.answered) session.destroy()
      else {
        state.isNew = false
        state.answered = false
        session.ping(error => {
          state.answered = !error
        })
      }
    }
  }

  /**
   * Revocations do not arrive here. A gateway that stays would accept what the other replicas revoked, so it is to connect
   * again, until it reaches a replica that follows the database. It keeps its list meanwhile.
   */
  #sendAway({ source: { seenUntil }, now }: Serving): void {
    if (seenUntil !== undefined && now() - seenUntil < CUT_OFF_MS) return
    for (const [session, state] of this.#sessions) {
      const isNew = this.#clock.monotonicMs() - state.openedAt < CUT_OFF_MS
      if (state.isLeaving || isNew || state.gateways.size === 0) continue
      state.isLeaving = true
      session.goaway()
      for (const stream of state.gateways) stream.end()
      session.close()
    }
  }

  #accept(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const token = this.#tokenOf(headers.authorization)
    if (headers[':path'] === LIST_PATH) {
      answerList(stream, headers, this.#isAuthentic(token) ? this.#serving?.source : 'unauthenticated')
      return
    }
    const refusal = this.#refusal(headers, token)
    if (refusal || !this.#serving) {
      const [status, message] = refusal ?? [STATUS.unavailable, 'The service is starting. Retry.']
      end(stream, status, message)
      return
    }
    const { connections, ...serving } = this.#serving
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    const session = stream.session ? this.#sessions.get(stream.session as ServerHttp2Session) : undefined
    stream.on('wantTrailers', () => {
      const status = session?.isLeaving ? STATUS.unavailable : STATUS.ok
      stream.sendTrailers({ 'grpc-status': String(status) })
      // The gateway's side of the stream is still open, and would keep the connection.
      if (session?.isLeaving) setImmediate(() => stream.close())
    })
    const send = (message: Buffer) => void stream.write(framed(message))
    const gateway = new DiscoveryStream({
      ...serving,
      send,
      monotonicMs: () => this.#clock.monotonicMs(),
      gateway: token?.gateway,
      onRejection: () => connections.rejectedLists++,
    })
    session?.gateways.add(stream)
    const socket = session && this.#socketOf(session.peer)
    const ended = socket && this.#limits?.begin(socket)
    this.#streams.add(gateway)
    const remove = connections.add(gateway)
    stream.on('close', () => {
      this.#streams.delete(gateway)
      remove()
      ended?.()
      session?.gateways.delete(stream)
    })
    const { logger } = serving
    receiveMessages(stream, message => {
      try {
        return gateway.receive(readRequest(message)) === undefined
      } catch (err) {
        if (!(err instanceof UnreadableMessage)) logger.error({ listener: LISTENER, err }, 'call failed')
        return false
      }
    })
  }

  #refusal(
    headers: IncomingHttpHeaders,
    token: { gateway: string | undefined } | undefined,
  ): readonly [status: number, message: string] | undefined {
    if (headers[':path'] !== METHOD) return [STATUS.unimplemented, 'The method is not implemented.']
    return this.#isAuthentic(token) ? undefined : [STATUS.unauthenticated, 'Missing or invalid token.']
  }

  /** With client certificates alone the connection is authentic already. */
  #isAuthentic(token: object | undefined): boolean {
    return this.#tokens.length === 0 ? this.#config?.tls?.clientCa !== undefined : token !== undefined
  }

  /** Every token is compared. */
  #tokenOf(authorization: string | undefined): { gateway: string | undefined } | undefined {
    const [, token = ''] = /^bearer +(\S+)$/i.exec(authorization ?? '') ?? []
    const shown = sha256(token)
    return this.#tokens.filter(({ digest }) => timingSafeEqual(digest, shown))[0]
  }
}

const sha256 = (text: string) => createHash('sha256').update(text).digest()
