import { performServerHandshake, type ServerHttp2Session, type ServerOptions } from 'node:http2'
import { createServer, type Socket, type Server as TcpServer } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import type { XdsConfig } from '../config/xds-config.ts'
import { FrameTurns, PacedSocket } from '../http/grpc-turns.ts'
import { Turns } from '../http/turns.ts'
import type { Clock } from '../system/clock.ts'
import { routedNetworkOf } from '../system/ip-address.ts'

/** Of TLS. A gateway needs milliseconds; Node waits two minutes. */
const HANDSHAKE_MS = 10_000
/** The client's first message takes a millisecond of the event loop, and more with a large RSA key. */
const HANDSHAKES_IN_A_TURN = 2
const OPTIONS: ServerOptions = {
  settings: { maxConcurrentStreams: 16, enablePush: false, maxHeaderListSize: 16_384 },
  maxHeaderListPairs: 64,
}

/**
 * A server of HTTP/2 connections, in plain text or with TLS. Their frames are read in turns, and TLS handshakes are answered in turns:
 * anyone may send either, before a token or a certificate is known.
 */
export function connectionsServer(
  tls: XdsConfig['tls'],
  clock: Clock,
  accept: (session: ServerHttp2Session, socket: Socket) => void,
): TcpServer {
  const frames = new FrameTurns()
  const begin = (socket: Socket) => {
    if (!socket.destroyed) accept(performServerHandshake(new PacedSocket(socket, frames), OPTIONS), socket)
  }
  return tls ? tlsServer(tls, clock, begin) : createServer(begin)
}

function tlsServer(
  { certificate, key, clientCa }: NonNullable<XdsConfig['tls']>,
  clock: Clock,
  begin: (socket: Socket) => void,
): TcpServer {
  const server = createTlsServer({
    ALPNProtocols: ['h2'],
    handshakeTimeout: HANDSHAKE_MS,
    cert: certificate,
    key: key.reveal(),
    ...(clientCa !== undefined && { ca: clientCa, requestCert: true, rejectUnauthorized: true }),
  })
  server.on('secureConnection', begin)
  // Every error of a handshake is followed by the close of its connection.
  server.on('tlsClientError', () => {})
  const turns = new Turns(HANDSHAKES_IN_A_TURN)
  const handshakes = server.listeners('connection')
  server.removeAllListeners('connection')
  server.on('connection', (socket: Socket) => {
    const start = () => {
      if (!socket.destroyed) for (const handshake of handshakes) handshake.call(server, socket)
    }
    const silent = new AbortController()
    const hello = () => {
      silent.abort()
      turns.add(start, 1, routedNetworkOf(socket.remoteAddress ?? ''))
    }
    socket
      // Every error is followed by the close.
      .on('error', () => {})
      .once('readable', hello)
      .once('close', () => silent.abort())
    void clock.sleep(HANDSHAKE_MS, silent.signal).then(() => {
      if (!silent.signal.aborted) socket.destroy()
    })
  })
  return server
}
