import type { Socket } from 'node:net'
import type { ClientBase } from 'pg'

/**
 * On end, pg sends Terminate and waits for the server to close, which may never happen: the socket would stay open for
 * 15 minutes. From now on the socket of `client` is destroyed as soon as Terminate has been sent.
 */
export function closePromptly(client: ClientBase): void {
  const { stream } = (client as unknown as { connection: { stream: Socket } }).connection
  stream.once('finish', () => stream.destroy())
}
