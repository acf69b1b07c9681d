import { networkOf } from '../system/ip-address.ts'

/** Something that holds bytes of a request. `drop` gives them up at once. */
export interface Holder {
  /** The address that sends the request: bounds are shared fairly between networks. */
  readonly peer: string
  drop(): void
}

/** An IPv4 address, or an IPv6 network, within which one client can change addresses. */
interface Peer {
  readonly network: string
  bytes: number
  /** Those that may be dropped, oldest first. */
  readonly droppable: Set<Holder>
}

/**
 * Bounds the bytes that all requests of a listener hold together. A peer never holds more than it leaves free: one peer
 * at most half, each of two a third. Beyond that, requests of the peer that holds most are dropped, the oldest first: an
 * honest one arrives within milliseconds, so the oldest are those that stall. So what a peer needs is not taken by
 * another one that wants everything.
 */
export class HeldBytes {
  readonly #limit: number
  readonly #held = new Map<Holder, { bytes: number; readonly peer: Peer }>()
  /** By network. */
  readonly #peers = new Map<string, Peer>()
  #total = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  /** The holder now holds this many bytes in all. May drop any that can be dropped, this one too. */
  hold(holder: Holder, bytes: number): void {
    const held = this.#held.get(holder) ?? { bytes: 0, peer: this.#peerOf(holder) }
    const { peer } = held
    this.#held.set(holder, held)
    const more = bytes - held.bytes
    held.bytes = bytes
    this.#total += more
    peer.bytes += more
    peer.droppable.add(holder)
    while (more > 0 && peer.bytes > this.#limit - this.#total) {
      const oldest = this.#oldestOfLargest()
      if (!oldest) return
      this.release(oldest)
      oldest.drop()
    }
  }

  /** It has arrived whole: it is not dropped until it holds more, and its bytes count until `release`. */
  arrived(holder: Holder): void {
    this.#held.get(holder)?.peer.droppable.delete(holder)
  }

  release(holder: Holder): void {
    const held = this.#held.get(holder)
    if (!held) return
    const { bytes, peer } = held
    this.#total -= bytes
    peer.bytes -= bytes
    this.#held.delete(holder)
    peer.droppable.delete(holder)
    if (peer.bytes === 0 && peer.droppable.size === 0) this.#peers.delete(peer.network)
  }

  #peerOf(holder: Holder): Peer {
    const network = networkOf(holder.peer)
    const peer = this.#peers.get(network) ?? { network, bytes: 0, droppable: new Set() }
    this.#peers.set(network, peer)
    return peer
  }

  /** Of the peer that holds most, of those with any that can be dropped. */
  #oldestOfLargest(): Holder | undefined {
    let largest: Peer | undefined
    for (const peer of this.#peers.values()) {
      if (peer.droppable.size > 0 && peer.bytes > (largest?.bytes ?? -1)) largest = peer
    }
    const [oldest] = largest?.droppable ?? []
    return oldest
  }
}
