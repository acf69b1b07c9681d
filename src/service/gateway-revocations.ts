import type { ChangeFollower } from '../database/change-follower.ts'
import type { DatabaseTime } from '../database/database-time.ts'
import type { DenyList } from '../token-revocations/deny-list.ts'
import { denyFilter } from '../xds/deny-filter.ts'
import type { RevocationSource } from '../xds/discovery-stream.ts'

/** The deny list of this process, as gateways receive it. */
export class GatewayRevocations implements RevocationSource {
  readonly #denyList: DenyList
  readonly #follower: ChangeFollower
  readonly #time: DatabaseTime
  /** Encoded once for all gateways. */
  #encoded: { revision: number; filter: Buffer } | undefined

  constructor(options: { denyList: DenyList; follower: ChangeFollower; time: DatabaseTime }) {
    this.#denyList = options.denyList
    this.#follower = options.follower
    this.#time = options.time
  }

  get revision(): number {
    return this.#denyList.revision
  }

  /** Undefined before the first full load, during a reload, and while this process serves from a snapshot. */
  get seenUntil(): number | undefined {
    const follower = this.#follower
    if (!follower.following || follower.place === undefined) return undefined
    return this.#time.now() - follower.stalenessSeconds * 1000
  }

  get filter(): Buffer {
    if (this.#encoded?.revision !== this.revision)
      this.#encoded = { revision: this.revision, filter: denyFilter(this.#denyList.contents) }
    return this.#encoded.filter
  }
}
