import type { Socket, Server as TcpServer } from 'node:net'
import { ServerInterceptingCall, type ServerInterceptor, type ServerOptions } from '@grpc/grpc-js'
import type { Clock } from '../system/clock.ts'
import { LONGEST_BODY_BYTES } from './headers.ts'

/**
 * The bounds on what a peer of the gRPC listener can hold, whether or not it ever sends a whole request. Gateways need far
 * less: Envoy opens one connection per worker thread.
 */

/** Headers alone: Envoy passes on at most 60 KiB of them, once or twice, and at most 100 names. */
const LONGEST_MESSAGE_BYTES = 131_072
const STREAMS_PER_CONNECTION = 200
const MOST_CONNECTIONS = 2_000
const MOST_CONNECTIONS_OF_ONE_ADDRESS = 256
/** A gateway waits a second for an answer, so it is no longer interested in a message that takes longer. */
const MESSAGE_DEADLINE_MS = 5_000
/** Longer than `idle_timeout` in deploy/envoy, so that the gateway closes first. */
const CONNECTION_IDLE_MS = 90_000
const KEEPALIVE_MS = 60_000
const KEEPALIVE_TIMEOUT_MS = 10_000

/** Options of grpc-js. `readsBody`: requests bring the body that the model is in. `interceptors` see each call. */
export function grpcServerOptions(readsBody: boolean, interceptors: ServerInterceptor[]): ServerOptions {
  const longest = readsBody ? LONGEST_BODY_BYTES + LONGEST_MESSAGE_BYTES : LONGEST_MESSAGE_BYTES
  return {
    interceptors,
    'grpc.max_receive_message_length': longest,
    'grpc.max_concurrent_streams': STREAMS_PER_CONNECTION,
    // Also ends connections that never sent the preface of HTTP/2, or nothing after it.
    'grpc.max_connection_idle_ms': CONNECTION_IDLE_MS,
    'grpc.keepalive_time_ms': KEEPALIVE_MS,
    'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
  }
}

/** Closes connections beyond the limits at once, those of one address first. */
export class ConnectionLimits {
  readonly #byAddress = new Map<string, Set<Socket>>()

  constructor(server: TcpServer) {
    server.maxConnections = MOST_CONNECTIONS
    server.on('connection', socket => this.#admit(socket))
  }

  /** Closes the connection of a peer, in the form `address:port`. */
  close(peer: string): void {
    for (const socket of this.#byAddress.get(peer.replace(/:\d+$/, '')) ?? [])
      if (peer.endsWith(`:${socket.remotePort}`)) socket.destroy()
  }

  #admit(socket: Socket): void {
    const address = socket.remoteAddress ?? ''
    const sockets = this.#byAddress.get(address) ?? new Set()
    if (sockets.size >= MOST_CONNECTIONS_OF_ONE_ADDRESS) return void socket.destroy()
    this.#byAddress.set(address, sockets.add(socket))
    socket.once('close', () => {
      sockets.delete(socket)
      if (sockets.size === 0) this.#byAddress.delete(address)
    })
  }
}

/**
 * Closes connections on which a message is not complete in time: a gateway sends one in a piece, and to end the call alone
 * would keep what has come of it. `stop` ends the checking.
 */
export function messageDeadline(
  clock: Clock,
  limits: ConnectionLimits,
): { interceptor: ServerInterceptor; stop: () => void } {
  const incomplete = new Map<ServerInterceptingCall, number>()
  const stop = clock.every(MESSAGE_DEADLINE_MS / 5, async () => {
    for (const [call, started] of incomplete) {
      // Calls are in the order in which they came.
      if (clock.monotonicMs() - started < MESSAGE_DEADLINE_MS) break
      incomplete.delete(call)
      limits.close(call.getPeer())
    }
  })
  const interceptor: ServerInterceptor = (_method, next) => {
    const call = new ServerInterceptingCall(next, {
      start: begin => {
        incomplete.set(call, clock.monotonicMs())
        begin({
          onReceiveMessage: (message, pass) => {
            incomplete.delete(call)
            pass(message)
          },
          onCancel: () => incomplete.delete(call),
        })
      },
    })
    return call
  }
  return { interceptor, stop }
}
