import type { Readiness } from '../http/health.ts'
import type { Clock } from '../system/clock.ts'
import { type GrpcCall, STATUS } from './grpc-call.ts'
import { numberField } from './protobuf.ts'

/** grpc.health.v1.HealthCheckResponse, by its ServingStatus. */
const SERVING = numberField(1, 1)
const NOT_SERVING = numberField(1, 2)
const WATCH_MS = 500
/** Load balancers have one each. */
const MOST_WATCHES = 100

/** grpc.health.v1.Health: reports readiness, whatever the service asked about. */
export class GrpcHealth {
  readonly #readiness: Readiness
  readonly #watches = new Set<GrpcCall>()
  readonly #stop: () => void
  #sent: Buffer

  constructor(readiness: Readiness, clock: Clock) {
    this.#readiness = readiness
    this.#sent = this.#current
    this.#stop = clock.every(WATCH_MS, async () => this.#report())
  }

  check(call: GrpcCall): void {
    call.answer(this.#current)
  }

  /** Answers with the status, and again whenever it changes. */
  watch(call: GrpcCall): void {
    if (this.#watches.size >= MOST_WATCHES) {
      call.refuse(STATUS.resourceExhausted, `There are ${MOST_WATCHES} watches already.`)
      return
    }
    if (!call.begin()) return
    this.#report()
    call.watching = true
    this.#watches.add(call)
    call.onClose(() => this.#watches.delete(call))
    call.write(this.#sent)
  }

  /** Reports a last time, and ends all watches. */
  close(): void {
    this.#stop()
    this.#report()
    for (const call of this.#watches) call.end()
  }

  #report(): void {
    if (this.#current === this.#sent) return
    this.#sent = this.#current
    for (const call of this.#watches) call.write(this.#sent)
  }

  get #current(): Buffer {
    return this.#readiness.ready ? SERVING : NOT_SERVING
  }
}
