import {
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { fromJSON } from '@grpc/proto-loader'
import { CannotStart } from '../errors.ts'
import type { Readiness } from '../http/health.ts'
import type { Clock } from '../system/clock.ts'
import { withTimeout } from '../system/timeout.ts'
import { HEALTH_PROTO } from './grpc-proto.ts'
import { LONGEST_BODY_BYTES } from './headers.ts'

/** grpc.health.v1.HealthCheckResponse.ServingStatus */
const SERVING = 1
const NOT_SERVING = 2
const WATCH_MS = 500

const HEALTH_SERVICE = fromJSON(HEALTH_PROTO)['grpc.health.v1.Health'] as ServiceDefinition

/** A bound port that speaks gRPC, in plain text as the other listeners do. Until services are added it knows no method. */
export class GrpcListener {
  readonly port: number
  readonly #server: Server
  readonly #clock: Clock

  private constructor(server: Server, port: number, clock: Clock) {
    this.#server = server
    this.port = port
    this.#clock = clock
  }

  /** @throws {Error} that names the variable to change when the port is taken or may not be used. */
  static async bind(address: { host: string; port: number }, clock: Clock): Promise<GrpcListener> {
    const server = new Server({
      'grpc.max_receive_message_length': LONGEST_BODY_BYTES + 65_536,
      'grpc.max_concurrent_streams': 1_000,
    })
    const host = address.host.includes(':') ? `[${address.host}]` : address.host
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`${host}:${address.port}`, ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(bindError(address, error)) : resolve(bound),
      )
    })
    return new GrpcListener(server, port, clock)
  }

  /** Adds a service beside the health service, which says what `readiness` says. */
  serve(definition: ServiceDefinition, service: UntypedServiceImplementation, readiness: Readiness): void {
    this.#server.addService(definition, service)
    this.#server.addService(HEALTH_SERVICE, healthService(readiness, this.#clock))
  }

  /** No new calls; what is in flight by `deadlineMs` is cut. */
  async close(deadlineMs: number): Promise<void> {
    const done = new Promise<void>(resolve => this.#server.tryShutdown(() => resolve()))
    await withTimeout(this.#clock, deadlineMs, done)
    this.#server.forceShutdown()
  }
}

function bindError({ host, port }: { host: string; port: number }, cause: Error): Error {
  const taken = /EADDRINUSE/.test(cause.message)
  const why = taken
    ? 'is in use: set MINTMARK_GATEWAY_GRPC_PORT to a free port (0: any)'
    : 'cannot be used: set MINTMARK_GATEWAY_GRPC_PORT or MINTMARK_GATEWAY_HOST'
  return new CannotStart(`${host}:${port}, for the gateway's gRPC listener, ${why}`, { cause })
}

function healthService(readiness: Readiness, clock: Clock): UntypedServiceImplementation {
  const current = () => ({ status: readiness.ready ? SERVING : NOT_SERVING })
  return {
    Check: (_call: unknown, answer: (error: null, response: { status: number }) => void) =>
      answer(null, current()),
    Watch: (call: {
      write(response: { status: number }): void
      end(): void
      once(event: string, hear: () => void): void
    }) => {
      let told = current()
      call.write(told)
      const stop = clock.every(WATCH_MS, async () => {
        if (current().status === told.status) return
        told = current()
        call.write(told)
      })
      call.once('cancelled', () => {
        stop()
        call.end()
      })
    },
  }
}
