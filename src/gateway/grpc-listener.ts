import { createServer, type Server as TcpServer } from 'node:net'
import {
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { fromJSON } from '@grpc/proto-loader'
import type { Readiness } from '../http/health.ts'
import { type Address, addressOf, listen } from '../http/listener.ts'
import type { Clock } from '../system/clock.ts'
import { withTimeout } from '../system/timeout.ts'
import { ConnectionLimits, grpcServerOptions, messageDeadline } from './grpc-limits.ts'
import { HEALTH_PROTO } from './grpc-proto.ts'

/** grpc.health.v1.HealthCheckResponse.ServingStatus */
const SERVING = 1
const NOT_SERVING = 2
const WATCH_MS = 500

const HEALTH_SERVICE = fromJSON(HEALTH_PROTO)['grpc.health.v1.Health'] as ServiceDefinition

/** A listener for gRPC in plain text. Until services are added every method is unimplemented. */
export class GrpcListener {
  readonly #server: Server
  readonly #sockets: TcpServer
  readonly #clock: Clock
  readonly #stopDeadlines: () => void

  private constructor(server: Server, sockets: TcpServer, clock: Clock, stopDeadlines: () => void) {
    this.#server = server
    this.#sockets = sockets
    this.#clock = clock
    this.#stopDeadlines = stopDeadlines
  }

  /**
   * Not bound yet. The port's connections are passed to grpc-js, which has no limit on connections. `readsBody`: whether
   * requests bring a body.
   */
  static create(readsBody: boolean, clock: Clock): GrpcListener {
    const sockets = createServer()
    const { interceptor, stop } = messageDeadline(clock, new ConnectionLimits(sockets))
    const server = new Server(grpcServerOptions(readsBody, [interceptor]))
    const grpc = server.createConnectionInjector(ServerCredentials.createInsecure())
    sockets.on('connection', socket => {
      if (!socket.destroyed) grpc.injectConnection(socket)
    })
    return new GrpcListener(server, sockets, clock, stop)
  }

  /** @throws {CannotStart} when the port cannot be bound. */
  listen(address: Address): Promise<void> {
    return listen(this.#sockets, 'gateway_grpc', address)
  }

  /** Undefined until it listens. */
  get address(): Address | undefined {
    return addressOf(this.#sockets)
  }

  /** Adds a service, and the health service, which reports `readiness`. */
  serve(definition: ServiceDefinition, service: UntypedServiceImplementation, readiness: Readiness): void {
    this.#server.addService(definition, service)
    this.#server.addService(HEALTH_SERVICE, healthService(readiness, this.#clock))
  }

  /** Accepts no new calls; calls in flight after `deadlineMs` are cancelled. */
  async close(deadlineMs: number): Promise<void> {
    // For connections that were handed to it, grpc-js does not wait: the port's own server knows when all have ended.
    const done = new Promise<void>(resolve => this.#sockets.close(() => resolve()))
    this.#server.tryShutdown(() => {})
    await withTimeout(this.#clock, deadlineMs, done)
    this.#server.forceShutdown()
    this.#stopDeadlines()
  }
}

function healthService(readiness: Readiness, clock: Clock): UntypedServiceImplementation {
  const current = () => ({ status: readiness.ready ? SERVING : NOT_SERVING })
  return {
    Check: (_call: unknown, answer: (error: null, response: { status: number }) => void) =>
      answer(null, current()),
    Watch: (call: {
      write(response: { status: number }): void
      end(): void
      once(event: string, listener: () => void): void
    }) => {
      let sent = current()
      call.write(sent)
      const stop = clock.every(WATCH_MS, async () => {
        if (current().status === sent.status) return
        sent = current()
        call.write(sent)
      })
      call.once('cancelled', () => {
        stop()
        call.end()
      })
    },
  }
}
