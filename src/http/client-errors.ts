import type { Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { Turns } from './turns.ts'

/** Statuses for errors of Node's parser and its timers, by their codes, and for those of chunk-limit.ts. */
const STATUSES: Readonly<Record<string, string>> = {
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: '413 Payload Too Large',
  BUSY_WITH_CHUNKS: '503 Service Unavailable\r\nRetry-After: 1',
}
const CLOSED_A_TURN = 20

/**
 * Closes connections that sent an incomplete or invalid request. Node would close all timed-out connections at once,
 * and thousands of them delay every other request by tens of milliseconds: here a few are closed in each turn of the
 * event loop.
 */
export function closeInTurns(server: Server): void {
  const turns = new Turns(CLOSED_A_TURN)
  server.on('clientError', (error: NodeJS.ErrnoException, socket) =>
    turns.add(() => refuseConnection(socket, error.code, error)),
  )
}

/** Closes the connection, with the status of this code, or 400. Nothing is written into a response that has begun. */
export function refuseConnection(socket: Duplex, code = '', error?: Error): void {
  const answering = (socket as { _httpMessage?: { headersSent: boolean } })._httpMessage?.headersSent
  if (socket.writable && !answering)
    socket.write(`HTTP/1.1 ${STATUSES[code] ?? '400 Bad Request'}\r\nConnection: close\r\n\r\n`)
  socket.destroy(error)
}
