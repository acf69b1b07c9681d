import { parseAddress } from '../system/ip-address.ts'
import type { Logger } from '../system/logger.ts'
import { isPublic } from '../system/public-address.ts'
import type { Trusts } from './caller-address.ts'

/**
 * Notices requests that a proxy forwarded which is not trusted: all clients behind it count as one, so that they share one
 * limit of failures. The first one is logged with its cure, and all are counted.
 */
export class UnexpectedProxies {
  readonly #logger: Logger
  #requests = 0

  constructor(logger: Logger) {
    this.#logger = logger
  }

  /** Number of requests since the start. */
  get requests(): number {
    return this.#requests
  }

  /** The same answers. It is asked about the peer of a connection only for a request that says for whom it was forwarded. */
  watching(trusts: Trusts): Trusts {
    return (address, hops) => {
      const trusted = trusts(address, hops)
      if (!trusted && hops === 0 && isPrivate(address)) this.#note(address)
      return trusted
    }
  }

  #note(address: string): void {
    this.#requests += 1
    if (this.#requests > 1) return
    this.#logger.warn(
      { address },
      'a proxy that is not trusted forwards requests, so all its clients share one limit of failures: add its address or network to MINTMARK_TRUSTED_PROXIES',
    )
  }
}

/** A proxy of one's own has an address that no host has on the Internet. */
const isPrivate = (address: string): boolean => parseAddress(address) !== undefined && !isPublic(address)
