import type { Clock } from '../system/clock.ts'
import { networkOf } from '../system/ip-address.ts'
import { type GrpcCall, STATUS } from './grpc-call.ts'
import type { Readiness } from './health.ts'
import { numberField } from './protobuf.ts'

/** grpc.health.v1.HealthCheckResponse, by its ServingStatus. */
const SERVING = numberField(1, 1)
const NOT_SERVING = numberField(1, 2)
const WATCH_MS = 500
/** Load balancers have one each. */
const MOST_OF_ADDRESS = 10
/** Of an IPv4 address or an IPv6 /56, which a cluster may have for all its pods. */
const MOST_OF_NETWORK = 100

/** grpc.health.v1.Health: reports readiness, whatever the service asked about. */
export class GrpcHealth {
  readonly #readiness: Readiness
  readonly #watches = new Set<GrpcCall>()
  /** Their number by the peer's address, and by its network. */
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
    const bounds: [name: string, most: number][] = [
      [`address ${call.peer}`, MOST_OF_ADDRESS],
      [`network ${networkOf(call.peer)}`, MOST_OF_NETWORK],
    ]
    const full = bounds.find(([name, most]) => this.#countOf(name) >= most)
    if (full) {
      const [name, most] = full
      call.refuse(STATUS.resourceExhausted, `The ${name} has ${most} watches already. End one of them.`)
      return
    }
    if (!call.begin()) return
    this.#report()
    call.watching = true
    this.#watches.add(call)
    for (const [name] of bounds) this.#watchesOf.set(name, this.#countOf(name) + 1)
    call.onClose(() => this.#forget(call, bounds))
    call.write(this.#sent)
  }

  #countOf(name: string): number {
    return this.#watchesOf.get(name) ?? 0
  }

  #forget(call: GrpcCall, bounds: readonly [name: string, most: number][]): void {
    this.#watches.delete(call)
    for (const [name] of bounds) {
      const left = this.#countOf(name) - 1
      if (left > 0) this.#watchesOf.set(name, left)
      else this.#watchesOf.delete(name)
    }
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
