import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import { closeInvalid } from './client-errors.ts'

/** So many chunks may have any size. */
const ANY_SIZE = 64
/** Of all chunks of a body with more, on average. Clients fill buffers of kilobytes. */
const LEAST_BYTES_EACH = 32

/**
 * Node's parser of a connection. It calls its function under `kOnBody` for each chunk, and copies nothing where there is none. Node does
 * not document it.
 */
interface Parser {
  constructor: { kOnBody?: number }
  incoming: IncomingMessage | null
  socket: (Socket & { server?: Server }) | null
  [callback: number]: OnBody | undefined
}
type OnBody = (this: Parser, chunk: Buffer) => void

interface Chunks {
  count: number
  bytes: number
}

const chunksOf = new WeakMap<IncomingMessage, Chunks>()
/** Parsers are used again for other connections, of every server and client, and keep their functions. So all have the same one. */
let bounded: OnBody | undefined

/**
 * Rejects bodies in chunks of a few bytes: 400, and the connection is closed. Node reads up to 2 MB of a connection at
 * once, and calls a function for each chunk of it: half a second and 100 MB for chunks of a byte, from anyone. Here the rest of what has
 * arrived is skipped.
 */
export function refuseSmallChunks(server: Server): void {
  server.on('connection', ({ parser }: Socket & { parser?: Parser }) => {
    const place = parser?.constructor.kOnBody
    if (!parser || place === undefined) return
    bounded ??= boundedOf(parser[place], place)
    parser[place] = bounded
  })
}

function boundedOf(read: OnBody | undefined, place: number): OnBody {
  return function onBody(chunk) {
    const { incoming, socket } = this
    if (!socket?.server || !incoming || !hasSmallChunks(incoming, chunk.length))
      return void read?.call(this, chunk)
    delete this[place]
    // By then what had arrived is skipped. Another connection may use the parser.
    setImmediate(() => {
      this[place] = onBody
    })
    const error = new Error('The chunks of the body are too small.')
    closeInvalid(socket, error)
    // Otherwise it would end early, like one that is whole.
    incoming.destroy(error)
  }
}

/** With a chunk of so many bytes. */
function hasSmallChunks(req: IncomingMessage, bytes: number): boolean {
  if (req.headers['transfer-encoding'] === undefined) return false
  const chunks = chunksOf.get(req) ?? { count: 0, bytes: 0 }
  chunksOf.set(req, chunks)
  chunks.count++
  chunks.bytes += bytes
  return chunks.count > ANY_SIZE && chunks.bytes < LEAST_BYTES_EACH * chunks.count
}
