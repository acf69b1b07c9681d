import type { Server } from 'node:http'
import type { Duplex } from 'node:stream'

/** Statuses for what Node's parser and its timers found, by their codes. */
const STATUSES: Readonly<Record<string, string>> = {
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: '413 Payload Too Large',
}
const CLOSED_A_TURN = 20

/**
 * Closes connections that sent no whole request, or none that can be read. Node would close all whose time is over at
 * once, and thousands of them hold every other request up for tens of milliseconds: here some are closed in each turn of
 * the event loop.
 */
export function closeInTurns(server: Server): void {
  const waiting: [Duplex, Error][] = []
  const closeSome = () => {
    for (const [socket, error] of waiting.splice(0, CLOSED_A_TURN)) close(socket, error)
    if (waiting.length > 0) setImmediate(closeSome)
  }
  server.on('clientError', (error, socket) => {
    if (waiting.push([socket, error]) === 1) setImmediate(closeSome)
  })
}

/** Nothing is written into an answer that has begun. */
function close(socket: Duplex, error: NodeJS.ErrnoException): void {
  const answering = (socket as { _httpMessage?: { headersSent: boolean } })._httpMessage?.headersSent
  if (socket.writable && !answering)
    socket.write(`HTTP/1.1 ${STATUSES[error.code ?? ''] ?? '400 Bad Request'}\r\nConnection: close\r\n\r\n`)
  socket.destroy(error)
}
