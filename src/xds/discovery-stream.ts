import type { Logger } from '../system/logger.ts'
import type { GatewayConnection } from '../token-revocations/gateway-connections.ts'
import type { DeniedValue } from '../token-revocations/token-revocation.ts'
import { FILTER_NAME } from './deny-filter.ts'
import {
  type DiscoveryRequest,
  discoveryResponse,
  EXTENSION_CONFIG,
  type GatewayNode,
} from './discovery-messages.ts'

/** The deny list of this replica, as gateways receive it. */
export interface RevocationSource {
  /** Changes with the list. */
  readonly revision: number
  /** Whether the list has not changed since this revision. */
  isNewest(revision: number): boolean
  /**
   * The list has everything that was committed before this instant: epoch milliseconds, database time. Undefined: this
   * replica has not read everything, or does not follow the database.
   */
  readonly seenUntil: number | undefined
  /** The filter for the list. */
  readonly filter: Buffer
  /** The list itself, as of this moment. */
  readonly entries: readonly DeniedValue[]
}

interface Sent {
  revision: number
  nonce: string
  version: number
  /** Monotonic milliseconds. */
  at: number
}

/** A list is sent within milliseconds. */
const LATE_MS = 5_000

/**
 * One gateway on one stream. The version of a list is the instant until which its replica had seen every change. So
 * versions of all replicas are comparable, also after the database was restored, and a replica that lags behind sends
 * nothing to a gateway that has a newer list from another one.
 */
export class DiscoveryStream implements GatewayConnection {
  readonly #source: RevocationSource
  readonly #send: (message: Buffer) => void
  readonly #logger: Logger
  readonly #monotonicMs: () => number
  readonly #now: () => number
  readonly #onRejection: () => void
  readonly gateway: string | undefined
  readonly connectedSince: number
  /** The list that it has from this replica. */
  #acknowledged: { version: number; revision: number } | undefined
  rejection: { reason: string; at: number } | undefined
  #node: GatewayNode | undefined
  #subscribed = false
  /** The newest version that the gateway has. */
  #version = Number.NEGATIVE_INFINITY
  #sent: Sent | undefined
  #unanswered = false
  #nonces = 0
  /** Since when the gateway lacks the current list: on the monotonic clock. */
  #lacksSince: number | undefined
  #warned = false

  /** `gateway`: the name of its token. `now`: epoch milliseconds, database time. */
  constructor(options: {
    source: RevocationSource
    send: (message: Buffer) => void
    logger: Logger
    monotonicMs: () => number
    now: () => number
    gateway?: string | undefined
    onRejection?: () => void
  }) {
    this.#monotonicMs = options.monotonicMs
    this.#now = options.now
    this.#source = options.source
    this.#send = options.send
    this.#logger = options.logger
    this.#onRejection = options.onRejection ?? (() => {})
    this.gateway = options.gateway
    this.connectedSince = options.now()
  }

  get node(): GatewayNode {
    return this.#node ?? { id: '', cluster: '', envoyVersion: undefined, contract: undefined, enforces: [] }
  }

  /**
   * A change that arrives while the replica reads is in a list whose version is of before. So the version of a list that is still the newest
   * one moves on with what the replica has seen.
   */
  get acknowledged(): { version: string } | undefined {
    const has = this.#acknowledged
    if (!has) return undefined
    const { seenUntil } = this.#source
    const isNewest = seenUntil !== undefined && this.#source.isNewest(has.revision)
    return { version: String(isNewest ? Math.max(has.version, Math.floor(seenUntil)) : has.version) }
  }

  /** 0: it has the current list. */
  get behindMs(): number {
    return this.#lacksSince === undefined ? 0 : this.#monotonicMs() - this.#lacksSince
  }

  get behindSince(): number | undefined {
    return this.#lacksSince === undefined ? undefined : Math.round(this.#now() - this.behindMs)
  }

  /** Undefined, or why the request ends the stream. */
  receive(request: DiscoveryRequest): string | undefined {
    if (request.typeUrl !== '' && request.typeUrl !== EXTENSION_CONFIG) return 'Unknown type of resource.'
    if (!request.names.includes(FILTER_NAME)) return `Unknown resource: request ${FILTER_NAME}.`
    this.#node ??= request.node
    if (!this.#sent) this.#version = Math.max(this.#version, versionIn(request.version))
    if (this.#sent && request.nonce === this.#sent.nonce) this.#answered(this.#sent, request)
    this.#subscribed = true
    this.push()
    return undefined
  }

  /** Sends the list if the gateway lacks it. Called often. */
  push(): void {
    const { revision, seenUntil } = this.#source
    if (!this.#subscribed || this.#acknowledged?.revision === revision) return
    this.#warnIfLate()
    if (this.#unanswered || this.#sent?.revision === revision) return
    // A version is never repeated with another content.
    if (seenUntil === undefined || !(Math.floor(seenUntil) > this.#version)) return
    const version = Math.floor(seenUntil)
    const nonce = String(++this.#nonces)
    this.#sent = { revision, nonce, version, at: this.#monotonicMs() }
    this.#version = version
    this.#unanswered = true
    this.#send(discoveryResponse(String(version), nonce, this.#source.filter))
  }

  /** A gateway may have a version from the future, after a clock of the database that was ahead, or not answer. */
  #warnIfLate(): void {
    this.#lacksSince ??= this.#monotonicMs()
    if (this.behindMs < LATE_MS || this.#warned) return
    this.#warned = true
    const about = { ...this.#named(), version: this.#version, seenUntil: this.#source.seenUntil }
    this.#logger.warn(about, 'a gateway lacks the current list of revoked tokens')
  }

  #answered({ revision, version, at }: Sent, { error }: DiscoveryRequest): void {
    this.#unanswered = false
    if (error !== undefined) {
      this.rejection = { reason: error, at: Math.round(this.#now()) }
      this.#onRejection()
      this.#logger.error({ ...this.#named(), error }, 'a gateway rejected the list of revoked tokens')
      return
    }
    this.rejection = undefined
    this.#warned = false
    this.#acknowledged = { version, revision }
    // What came after the list that was answered is lacking since then at the earliest.
    this.#lacksSince = revision === this.#source.revision ? undefined : at
  }

  #named() {
    return { gateway: this.gateway ?? this.node.cluster, node: this.node.id }
  }
}

/** A gateway that has no version, or one of another origin, has nothing. */
const versionIn = (text: string) => (/^\d{1,15}$/.test(text) ? Number(text) : Number.NEGATIVE_INFINITY)
