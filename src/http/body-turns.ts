import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { routedNetworkOf } from '../system/ip-address.ts'
import { Turns } from './turns.ts'

/**
 * Node reads up to 2 MB of each connection in one turn of the event loop, as long as more has arrived: bodies of a hundred
 * connections at once held up everything else for 50 ms and more. Here a few parts of all bodies are read in each turn, and some
 * bodies are handled, or a long one. There is one loop, so these turns are those of all listeners. Networks of peers alternate: bodies
 * that no handler wants, of however many connections, hold up those of other peers by as many parts as these send themselves.
 */
const PARTS_IN_A_TURN = 4
/** Node reads as much at once. */
const PART_BYTES = 65_536
/** A part may be thousands of chunks (chunk-limit.ts), which take 6 ms: only one such part is read in a turn. */
const COST_OF_CHUNKS = PARTS_IN_A_TURN
/** Of bodies that are handled in one turn. A millisecond reads as much, or 4 ms where the body is made to be slow. */
const HANDLED_IN_A_TURN_BYTES = 262_144
/** Forms, assertions and short prompts have fewer: 16 of them are handled in a turn anyway (pipelining.ts). */
const SHORT_BODY_BYTES = 4_096
/**
 * Of a body that was refused before its end. Node reads and discards what follows, so that the client receives the answer before
 * the connection is closed: without a bound that is a processor's whole time, until the request times out.
 */
const MOST_DISCARDED_BYTES = 32 * 1_048_576
/** The same of a body in chunks: Node calls a function for each (chunk-limit.ts). No gateway sends any. */
const MOST_DISCARDED_OF_CHUNKS = 131_072

const parts = new Turns(PARTS_IN_A_TURN)
const bodies = new Turns(HANDLED_IN_A_TURN_BYTES)

/** Reads the body of a request part by part: from the request itself, or from its socket what is not wanted. */
export class PartReader {
  readonly #stream: Readable
  readonly #req: IncomingMessage
  #left = PART_BYTES

  constructor(stream: Readable, req: IncomingMessage) {
    this.#stream = stream
    this.#req = req
  }

  /** So many bytes have come. After a part of them the stream is paused until a later turn. */
  came(bytes: number): void {
    this.#left -= bytes
    if (this.#left > 0 || this.#stream.isPaused()) return
    this.#stream.pause()
    const { headers, socket } = this.#req
    const cost = headers['transfer-encoding'] === undefined ? 1 : COST_OF_CHUNKS
    const resume = () => {
      this.#left = PART_BYTES
      this.#stream.resume()
    }
    parts.add(resume, cost, routedNetworkOf(socket.remoteAddress ?? ''))
  }
}

/** Calls `handle` for a whole body of so many bytes from this peer: at once if it is short, else in this turn or a later one. */
export function handleBody(bytes: number, peer: string, handle: () => void): void {
  if (bytes <= SHORT_BODY_BYTES) handle()
  else bodies.add(handle, bytes, routedNetworkOf(peer))
}

/**
 * The turns in which a long body is read after it was handled: before any other body is handled, so that no more of them are in
 * memory than one.
 */
export class BodyTurns {
  /** Where in the body the present turn ends. */
  end = HANDLED_IN_A_TURN_BYTES

  /** Settles in a later turn, which begins at this place of the body. */
  async next(at: number): Promise<void> {
    await new Promise<void>(resolve => bodies.addFirst(resolve, HANDLED_IN_A_TURN_BYTES))
    this.end = at + HANDLED_IN_A_TURN_BYTES
  }
}

/** Closes the connection once more of the body has arrived. The response was sent. */
export function boundUnread(req: IncomingMessage): void {
  // Node may have paused the socket and be about to resume it. A listener that is added in between keeps it paused for ever.
  setImmediate(() => {
    if (!req.complete && !req.socket.destroyed) countUnread(req)
  })
}

function countUnread(req: IncomingMessage): void {
  const { socket, headers } = req
  const most = headers['transfer-encoding'] === undefined ? MOST_DISCARDED_BYTES : MOST_DISCARDED_OF_CHUNKS
  const parts = new PartReader(socket, req)
  let discarded = 0
  // The request itself has no events of what Node discards.
  const onData = (chunk: Buffer) => {
    discarded += chunk.length
    if (req.complete) socket.off('data', onData)
    else if (discarded > most) socket.destroy()
    else parts.came(chunk.length)
  }
  socket.on('data', onData)
}
