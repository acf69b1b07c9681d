import type { IncomingMessage } from 'node:http'
import { Turns } from './turns.ts'

/**
 * Node reads up to 2 MB of each connection in one turn of the event loop, as long as more has arrived: bodies of a hundred
 * connections at once held up everything else for 50 ms and more. Here a few parts of all bodies are read in each turn, and some
 * bodies are handled, or a long one. There is one loop, so these turns are those of all listeners.
 */
const PARTS_IN_A_TURN = 8
/** A part, 64 KiB, may be ten thousand chunks: only one such part is read in a turn. */
const COST_OF_CHUNKS = PARTS_IN_A_TURN
/** Bodies that come in one part. */
const ONE_PART_BYTES = 65_536
/** Of bodies that are handled in one turn. A millisecond reads as much, or 4 ms where the body is made to be slow. */
const HANDLED_IN_A_TURN_BYTES = 262_144
/** Forms, assertions and short prompts have fewer: 16 of them are handled in a turn anyway (pipelining.ts). */
const SHORT_BODY_BYTES = 4_096

const parts = new Turns(PARTS_IN_A_TURN)
const bodies = new Turns(HANDLED_IN_A_TURN_BYTES)

/** The rest of the request's body is read in turns, also when nobody wants it. */
export function readInTurns(req: IncomingMessage): void {
  const { headers, socket } = req
  const inChunks = headers['transfer-encoding'] !== undefined
  if (!inChunks && Number(headers['content-length'] ?? 0) <= ONE_PART_BYTES) return
  // The request itself has no events of what Node discards.
  const onPart = () => {
    if (req.complete) return void socket.off('data', onPart)
    socket.pause()
    parts.add(() => socket.resume(), inChunks ? COST_OF_CHUNKS : 1)
  }
  socket.on('data', onPart)
}

/** Calls `handle` for a whole body of so many bytes: at once if it is short, else in this turn or a later one. */
export function handleBody(bytes: number, handle: () => void): void {
  if (bytes <= SHORT_BODY_BYTES) handle()
  else bodies.add(handle, bytes)
}
