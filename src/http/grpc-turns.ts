import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { routedNetworkOf } from '../system/ip-address.ts'

/**
 * Node reads all that has arrived on all connections in one turn of the event loop, and a few bytes are a call: hundreds of
 * connections with 200 calls each took seconds, in which nothing else was answered. Here a turn reads a few frames of one
 * connection, and networks alternate.
 */

/** A call is at least two frames. A longest message is 257. */
const FRAMES_IN_A_TURN = 32
/** `PRI * HTTP/2.0` and what follows it: RFC 9113, section 3.4. */
const PREFACE_BYTES = 24
/** Of the length; type, flags and stream id follow. Section 4.1. */
const LENGTH_BYTES = 3
const REST_OF_HEAD_BYTES = 6

/** The connections with bytes to read. Networks take turns, then the addresses of one, then the connections of one. */
export class FrameTurns {
  readonly #waiting = new Map<string, Map<string, Set<PacedSocket>>>()
  #scheduled = false

  /** Calls `readSome` of the socket in one of the next turns. */
  add(socket: PacedSocket): void {
    const { network, peer } = socket
    const ofNetwork = this.#waiting.get(network) ?? new Map<string, Set<PacedSocket>>()
    this.#waiting.set(network, ofNetwork)
    const ofPeer = ofNetwork.get(peer) ?? new Set()
    ofNetwork.set(peer, ofPeer.add(socket))
    this.#schedule()
  }

  remove(socket: PacedSocket): void {
    const { network, peer } = socket
    const ofNetwork = this.#waiting.get(network)
    const ofPeer = ofNetwork?.get(peer)
    ofPeer?.delete(socket)
    if (ofPeer?.size === 0) ofNetwork?.delete(peer)
    if (ofNetwork?.size === 0) this.#waiting.delete(network)
  }

  #schedule(): void {
    if (this.#scheduled || this.#waiting.size === 0) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#next()?.readSome()
      this.#schedule()
    })
  }

  /** Takes it out; its network and its address are the last in turn from then on. */
  #next(): PacedSocket | undefined {
    const [ofNetwork] = this.#waiting.values()
    const [ofPeer] = ofNetwork?.values() ?? []
    const [next] = ofPeer ?? []
    if (!ofNetwork || !ofPeer || !next) return undefined
    const { network, peer } = next
    this.remove(next)
    if (this.#waiting.delete(network)) this.#waiting.set(network, ofNetwork)
    if (ofNetwork.delete(peer)) ofNetwork.set(peer, ofPeer)
    return next
  }
}

/** A connection whose input node:http2 receives in turns. */
export class PacedSocket extends Duplex {
  /** The peer's address. */
  readonly peer: string
  /** Its connections share a turn. */
  readonly network: string
  readonly #socket: Socket
  readonly #turns: FrameTurns
  readonly #frames = new FrameCounter()
  /** Received, and not yet read. */
  #rest: Buffer | null = null
  #wanted = false
  #ended = false

  constructor(socket: Socket, turns: FrameTurns) {
    super()
    this.peer = socket.remoteAddress ?? ''
    this.network = routedNetworkOf(this.peer)
    this.#socket = socket
    this.#turns = turns
    socket
      .on('readable', () => this.#askForTurn())
      .once('end', () => {
        this.#ended = true
        this.#askForTurn()
      })
      // Every error is followed by the close.
      .on('error', () => {})
      .once('close', () => this.destroy())
  }

  /** Passes on the frames of one turn. */
  readSome(): void {
    const bytes: Buffer | null = this.#rest ?? this.#socket.read()
    if (bytes === null) {
      if (this.#ended) this.push(null)
      return
    }
    const length = this.#frames.endOf(bytes, FRAMES_IN_A_TURN)
    this.#rest = length < bytes.length ? bytes.subarray(length) : null
    this.#wanted = false
    this.push(bytes.subarray(0, length))
  }

  override _read(): void {
    this.#wanted = true
    this.#askForTurn()
  }

  /** An error of the socket is followed by its close, which ends this stream without one. */
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#socket.write(chunk, () => done())
  }

  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), 'binary', done)
  }

  override _final(done: () => void): void {
    this.#socket.end(() => done())
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#turns.remove(this)
    this.#rest = null
    this.#socket.destroy()
    done(error)
  }

  #askForTurn(): void {
    const some = this.#rest !== null || this.#socket.readableLength > 0 || this.#ended
    if (this.#wanted && some && !this.destroyed) this.#turns.add(this)
  }
}

/** Counts the frames of one direction of a connection as its bytes pass. */
class FrameCounter {
  /** Bytes of the current frame that have not passed, without those of its length. */
  #left = PREFACE_BYTES
  #length = 0
  #lengthBytes = 0

  /** How many of the next bytes are the rest of the current frame and, with it, at most so many frames. */
  endOf(bytes: Buffer, frames: number): number {
    let at = 0
    for (let ended = 0; ended < frames && at < bytes.length; ) {
      if (this.#left > 0) {
        const passing = Math.min(this.#left, bytes.length - at)
        at += passing
        this.#left -= passing
        if (this.#left === 0) ended++
        continue
      }
      this.#length = this.#length * 256 + (bytes[at++] ?? 0)
      if (++this.#lengthBytes < LENGTH_BYTES) continue
      this.#left = this.#length + REST_OF_HEAD_BYTES
      this.#length = 0
      this.#lengthBytes = 0
    }
    return at
  }
}
