import type { Readable } from 'node:stream'
import { Turns } from './turns.ts'

/**
 * Node reads up to 2 MB of each connection in one turn of the event loop, as long as more has arrived: bodies of a hundred
 * connections at once held up everything else for 50 ms and more. Here a few parts of all bodies are read in each turn, and some
 * bodies are handled, or a long one. There is one loop, so these turns are those of all listeners.
 */
const PARTS_IN_A_TURN = 4
/** Two reads of Node. */
const PART_BYTES = 131_072
/** What a chunk takes in addition to its bytes, in memory and, as so many bytes, in time. */
export const CHUNK_BYTES = 256
/** Of bodies that are handled in one turn. A millisecond reads as much, or a twentieth where the body is made to be slow. */
const HANDLED_IN_A_TURN_BYTES = 262_144
/** Forms, assertions and short prompts have fewer: 16 of them are handled in a turn anyway (pipelining.ts). */
const SHORT_BODY_BYTES = 4_096

const parts = new Turns(PARTS_IN_A_TURN)
const bodies = new Turns(HANDLED_IN_A_TURN_BYTES)

/** Reads a body part by part. Call `read` with the length of each chunk that has come. */
export class PartReader {
  readonly #stream: Readable
  #left = PART_BYTES

  constructor(stream: Readable) {
    this.#stream = stream
  }

  read(bytes: number): void {
    this.#left -= bytes + CHUNK_BYTES
    if (this.#left > 0 || this.#stream.isPaused()) return
    this.#stream.pause()
    parts.add(() => {
      this.#left = PART_BYTES
      this.#stream.resume()
    })
  }
}

/** Calls `handle` for a whole body of so many bytes: at once if it is short, else in this turn or a later one. */
export function handleBody(bytes: number, handle: () => void): void {
  if (bytes <= SHORT_BODY_BYTES) handle()
  else bodies.add(handle, bytes)
}
