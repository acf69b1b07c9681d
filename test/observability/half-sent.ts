import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** A connection with the beginning of a request to the token endpoint that never ends. */
export async function halfSent(publicUrl: string): Promise<Socket> {
  const socket = connect(Number(new URL(publicUrl).port), '127.0.0.1').on('error', () => {})
  const head = 'POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\nExpect: 100-continue\r\n\r\n'
  socket.write(head)
  // "100 Continue": the body is being read.
  await once(socket, 'data')
  return socket
}
