import type { Socket } from 'node:net'

/** Requests that one connection may send at once. Gateways and SDKs wait for each answer. */
export const MOST_AT_ONCE = 32

/**
 * Node reads 64 KiB of a connection in one turn of the event loop and handles every request in it before anything else:
 * hundreds of small requests that were sent without waiting for an answer (pipelining) hold up all other clients.
 */
export class Pipelining {
  /** Requests of this turn. */
  readonly #begun = new Map<Socket, number>()

  /** How many requests of the connection this turn has had, with this one. */
  placeOf(socket: Socket): number {
    if (this.#begun.size === 0) setImmediate(() => this.#begun.clear())
    const place = (this.#begun.get(socket) ?? 0) + 1
    this.#begun.set(socket, place)
    return place
  }
}
