import type { IncomingMessage } from 'node:http'
import { PartReader } from './body-turns.ts'

/**
 * Of a body that was refused before its end. Node reads and discards what follows, so that the client receives the answer before
 * the connection is closed: without a bound that is a processor's whole time, until the request times out.
 */
const MOST_DISCARDED_BYTES = 32 * 1_048_576
/** The same of a body in chunks: Node calls a function for each, so 64 KiB of chunks of a byte take 20 ms. No gateway sends any. */
const MOST_DISCARDED_OF_CHUNKS = 131_072

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
