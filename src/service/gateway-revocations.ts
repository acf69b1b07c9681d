import type { ChangeFollower } from '../database/change-follower.ts'
import type { DatabaseTime } from '../database/database-time.ts'
import type { Clock } from '../system/clock.ts'
import type { DenyList } from '../token-revocations/deny-list.ts'
import type { DeniedValue } from '../token-revocations/token-revocation.ts'
import { denyFilter } from '../xds/deny-filter.ts'
import type { RevocationSource } from '../xds/discovery-stream.ts'

/** Encoding takes time in proportion: a longer list is sent less often. 10,000 entries: ten times a second. */
const ENTRIES_A_MS = 100

/** The deny list of this process, as gateways receive it. */
export class GatewayRevocations implements RevocationSource {
  readonly #denyList: DenyList
  readonly #follower: ChangeFollower
  readonly #time: DatabaseTime
  readonly #clock: Clock
  /** Encoded once for all gateways. */
  #encoded: { revision: number; filter: Buffer; at: number } | undefined

  constructor(options: {
    denyList: DenyList
    follower: ChangeFollower
    time: DatabaseTime
    clock: Clock
  }) {
    this.#denyList = options.denyList
    this.#follower = options.follower
    this.#time = options.time
    this.#clock = options.clock
  }

  /** Of the list, or for a moment still of the last one that was sent. */
  get revision(): number {
    const { revision, size } = this.#denyList
    const sent = this.#encoded
    const isEarly = sent !== undefined && this.#clock.monotonicMs() - sent.at < size / ENTRIES_A_MS
    return isEarly ? sent.revision : revision
  }

  isNewest(revision: number): boolean {
    return revision === this.#denyList.revision
  }

  /** Undefined before the first full load, during a reload, and while this process serves from a snapshot. */
  get seenUntil(): number | undefined {
    const follower = this.#follower
    if (!follower.following || follower.place === undefined) return undefined
    return this.#time.now() - follower.stalenessSeconds * 1000
  }

  get entries(): readonly DeniedValue[] {
    return this.#denyList.contents
  }

  get filter(): Buffer {
    const { revision } = this
    if (this.#encoded?.revision !== revision) {
      const filter = denyFilter(this.#denyList.contents)
      this.#encoded = { revision, filter, at: this.#clock.monotonicMs() }
    }
    return this.#encoded.filter
  }
}
