import { connect } from 'node:net'
import type { PoolClient } from 'pg'
import { sharedLookup } from './host-lookup.ts'

/** Fields of a pg connection that its types lack. */
interface Backend {
  host: string
  port: number
  processID: number | null
  secretKey: number | null
}

const CANCEL_REQUEST = 80_877_102
const TIMEOUT_MS = 500

/**
 * Asks the server to cancel the statement that the connection of `client` runs, because no request waits for it any
 * more: a backend that waits for a lock does not notice that its client is gone. Sent on a connection of its own,
 * without TLS and without a response (PostgreSQL manual, "Canceling Requests in Progress"). Best effort.
 */
export function cancelStatement(client: PoolClient): void {
  const { host, port, processID, secretKey } = client as unknown as Backend
  if (processID === null || secretKey === null) return
  const request = Buffer.alloc(16)
  for (const [index, word] of [request.length, CANCEL_REQUEST, processID, secretKey].entries()) {
    request.writeInt32BE(word, index * 4)
  }
  const place = host.startsWith('/')
    ? { path: `${host}/.s.PGSQL.${port}` }
    : { host, port, lookup: sharedLookup }
  const socket = connect({ ...place, timeout: TIMEOUT_MS })
  socket.on('error', () => {}).on('timeout', () => socket.destroy())
  socket.once('connect', () => socket.end(request))
}
