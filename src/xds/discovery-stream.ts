import type { Logger } from '../system/logger.ts'
import { FILTER_NAME } from './deny-filter.ts'
import { type DiscoveryRequest, discoveryResponse, EXTENSION_CONFIG } from './discovery-messages.ts'

/** The deny list of this replica, as gateways receive it. */
export interface RevocationSource {
  /** Changes with the list. */
  readonly revision: number
  /**
   * The list has everything that was committed before this instant: epoch milliseconds, database time. Undefined: this
   * replica has not read everything, or does not follow the database.
   */
  readonly seenUntil: number | undefined
  /** The filter for the list. */
  readonly filter: Buffer
}

/** A list is sent within milliseconds. */
const LATE_MS = 5_000

/**
 * One gateway on one stream. The version of a list is the instant until which its replica had seen every change. So
 * versions of all replicas are comparable, also after the database was restored, and a replica that lags behind sends
 * nothing to a gateway that has a newer list from another one.
 */
export class DiscoveryStream {
  readonly #source: RevocationSource
  readonly #send: (message: Buffer) => void
  readonly #logger: Logger
  #subscribed = false
  #nodeId = ''
  /** The newest version that the gateway has. */
  #version = Number.NEGATIVE_INFINITY
  #sent: { revision: number; nonce: string; version: number } | undefined
  #unanswered = false
  #nonces = 0
  readonly #monotonicMs: () => number
  /** Since when the gateway lacks the current list. */
  #lacksSince: number | undefined
  #warned = false

  constructor(options: {
    source: RevocationSource
    send: (message: Buffer) => void
    logger: Logger
    monotonicMs: () => number
  }) {
    this.#monotonicMs = options.monotonicMs
    this.#source = options.source
    this.#send = options.send
    this.#logger = options.logger
  }

  /** Undefined, or why the request ends the stream. */
  receive(request: DiscoveryRequest): string | undefined {
    if (request.typeUrl !== '' && request.typeUrl !== EXTENSION_CONFIG) return 'Unknown type of resource.'
    if (!request.names.includes(FILTER_NAME)) return `Unknown resource: request ${FILTER_NAME}.`
    if (request.nodeId !== '') this.#nodeId = request.nodeId
    if (!this.#sent) this.#version = Math.max(this.#version, versionIn(request.version))
    if (this.#sent && request.nonce === this.#sent.nonce) this.#answered(request)
    this.#subscribed = true
    this.push()
    return undefined
  }

  /** Sends the list if the gateway lacks it. Called often. */
  push(): void {
    const { revision, seenUntil } = this.#source
    if (!this.#subscribed || this.#sent?.revision === revision) return
    this.#warnIfLate()
    if (this.#unanswered) return
    // A version is never repeated with another content.
    if (seenUntil === undefined || !(Math.floor(seenUntil) > this.#version)) return
    const version = Math.floor(seenUntil)
    const nonce = String(++this.#nonces)
    this.#sent = { revision, nonce, version }
    this.#version = version
    this.#unanswered = true
    this.#lacksSince = undefined
    this.#send(discoveryResponse(String(version), nonce, this.#source.filter))
  }

  /** A gateway may have a version from the future, after a clock of the database that was ahead, or not answer. */
  #warnIfLate(): void {
    const now = this.#monotonicMs()
    this.#lacksSince ??= now
    if (now - this.#lacksSince < LATE_MS || this.#warned) return
    this.#warned = true
    const about = { gateway: this.#nodeId, version: this.#version, seenUntil: this.#source.seenUntil }
    this.#logger.warn(about, 'a gateway lacks the current list of revoked tokens')
  }

  #answered({ error }: DiscoveryRequest): void {
    this.#unanswered = false
    if (error === undefined) return
    this.#logger.error({ gateway: this.#nodeId, error }, 'a gateway rejected the list of revoked tokens')
  }
}

/** A gateway that has no version, or one of another origin, has nothing. */
const versionIn = (text: string) => (/^\d{1,15}$/.test(text) ? Number(text) : Number.NEGATIVE_INFINITY)
