import type { Clock } from '../system/clock.ts'
import { networkOf } from '../system/ip-address.ts'
import { type GrpcCall, STATUS } from './grpc-call.ts'
import type { Readiness } from './health.ts'
import { numberField } from './protobuf.ts'

/** grpc.health.v1.HealthCheckResponse, by its ServingStatus. */
const SERVING = numberField(1, 1)
const NOT_SERVING = numberField(1, 2)
const WATCH_MS = 500
/** Of one IPv4 address or IPv6 network. Load balancers have one each. */
const MOST_WATCHES = 10

/** grpc.health.v1.Health: reports readiness, whatever the service asked about. */
export class GrpcHealth {
  readonly #readiness: Readiness
  readonly #watches = new Set<GrpcCall>()
  /** Their number by the peer's network. */
  readonly #watchesOf = new Map<string, number>()
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
    const network = networkOf(call.peer)
    const ofNetwork = this.#watchesOf.get(network) ?? 0
    if (ofNetwork >= MOST_WATCHES) {
      call.refuse(
        STATUS.resourceExhausted,
        `This network has ${MOST_WATCHES} watches already. End one of them.`,
      )
      return
    }
    if (!call.begin()) return
    this.#report()
    call.watching = true
    this.#watches.add(call)
    this.#watchesOf.set(network, ofNetwork + 1)
    call.onClose(() => this.#forget(call, network))
    call.write(this.#sent)
  }

  #forget(call: GrpcCall, network: string): void {
    this.#watches.delete(call)
    const left = (this.#watchesOf.get(network) ?? 1) - 1
    if (left > 0) this.#watchesOf.set(network, left)
    else this.#watchesOf.delete(network)
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
