import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import { refuseConnection } from './client-errors.ts'

/** Chunks of bodies, of all connections, that are read in one turn of the event loop, after the first ones of each: some 6 ms. */
const MOST_IN_A_TURN = 4_096
/** Of each connection: bodies of few chunks are read whatever others send. */
const FIRST_OF_A_CONNECTION = 16
const LOGGED_EVERY_MS = 60_000

type Callback = (this: Parser, ...values: never[]) => void

/**
 * Node's parser of a connection. It calls what it has under these numbers, which it looks up each time, and reads on without
 * a call where that is null. Not documented by Node.
 */
interface Parser {
  constructor: { kOnBody: number; kOnHeadersComplete: number; kOnMessageComplete: number }
  /** The request that is being read. */
  incoming?: unknown
  [callback: number]: Callback | null
}

/** `_httpMessage`: the response in progress, to the oldest request without one. */
type Parsed = Socket & { parser?: Parser | null; _httpMessage?: { req: unknown } | null }

/** Node's own functions by their numbers, the same for all parsers. */
let nodes: Readonly<Record<number, Callback | null | undefined>> | undefined

/** Chunks of one connection in the present turn. */
interface Count {
  turn: number
  chunks: number
}

// There is one loop, so its turns are those of all listeners.
let turn = 0
let left = MOST_IN_A_TURN
let endsLater = false

/** True when this chunk is one too many for the present turn. */
function isTooMany(count: Count): boolean {
  if (!endsLater) setImmediate(endTurn)
  endsLater = true
  if (count.turn !== turn) Object.assign(count, { turn, chunks: 0 })
  return ++count.chunks > FIRST_OF_A_CONNECTION && --left < 0
}

function endTurn(): void {
  turn++
  left = MOST_IN_A_TURN
  endsLater = false
}

/**
 * Node reads 64 KiB of a connection at once and calls a function for each chunk in them, which cannot stop it: of chunks of a
 * byte that are 11,000 calls and 15 ms, and of a hundred connections more than a second in which nothing else is answered. Here a
 * turn of the event loop reads so many chunks; a connection with more is closed, and the rest of what it sent is read without a
 * call. It gets 400 where it has sent most of them itself, else 503.
 */
export function limitChunks(server: Server, listener: string, logger: Logger, clock: Clock): void {
  const lastLogged: Record<string, number> = {}
  const refuse = (socket: Parsed, chunks: number) => {
    const sentMost = chunks > MOST_IN_A_TURN / 2
    const source = socket.remoteAddress
    // Otherwise what is written would be the answer to another request: this one was answered before its end, or one before it was not yet.
    if (socket._httpMessage && socket._httpMessage.req === socket.parser?.incoming)
      refuseConnection(socket, sentMost ? 'TOO_MANY_CHUNKS' : 'BUSY_WITH_CHUNKS')
    else socket.destroy()
    const text = sentMost
      ? 'a body in too many small chunks'
      : 'a body while others sent too many small chunks'
    const now = clock.monotonicMs()
    if (now - (lastLogged[text] ?? Number.NEGATIVE_INFINITY) < LOGGED_EVERY_MS) return
    lastLogged[text] = now
    logger.warn({ listener, source, chunks }, text)
  }
  server.on('connection', (socket: Parsed) => {
    const { parser } = socket
    if (!parser) return
    const { kOnBody, kOnHeadersComplete, kOnMessageComplete } = parser.constructor
    const numbers = [kOnBody, kOnHeadersComplete, kOnMessageComplete]
    nodes ??= Object.fromEntries(numbers.map(number => [number, parser[number]]))
    const functions = nodes
    const count: Count = { turn, chunks: 0 }
    const limited: Callback = (...values) => {
      if (socket.parser !== parser || !isTooMany(count)) {
        functions[kOnBody]?.apply(parser, values)
        return
      }
      // Without the last one Node would end the body where it was cut, and a handler would take it for a whole one.
      for (const number of numbers) parser[number] = null
      refuse(socket, count.chunks)
    }
    parser[kOnBody] = limited
    // By now Node has taken the parser back, for any other connection.
    socket.once('close', () => {
      if (parser[kOnBody] !== limited && parser[kOnBody] !== null) return
      Object.assign(parser, functions)
    })
  })
}
