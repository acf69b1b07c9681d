import { connect as connectHttp2 } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** Attacks come from here, so that a limit by source address does not count honest clients. */
const SOURCE = '127.0.0.2'

/** How one request of an attack ended. */
export interface Refusal {
  /** From the end of the headers to the status; undefined without one. */
  ms?: number
  /** 0: closed without an answer. -1: not answered while the attack lasted. */
  status: number
}
const UNANSWERED: Refusal = { status: -1 }
const MOST_QUEUED_MB = 2_000

export interface Held {
  /** It is closed then, whatever has happened. */
  until: number
  /** It sends on after the answer, and stays open. */
  staysOpen?: boolean
  /** It never reads; over HTTP/2 no bodies. */
  readsNothing?: boolean
}

/** A connection, or undefined when it is refused. */
function open(url: string): Promise<Socket | undefined> {
  const { hostname, port } = new URL(url)
  return new Promise(resolve => {
    const socket = connect({ host: hostname, port: Number(port), localAddress: SOURCE })
    socket.on('error', () => resolve(undefined)).once('connect', () => resolve(socket))
  })
}

/** Sends `head`, then `rest` part by part as the other side takes it, over one connection. */
export async function rawExchange(
  url: string,
  head: string,
  rest: Iterable<Buffer> | AsyncIterable<Buffer>,
  held: Held,
): Promise<Refusal> {
  const socket = await open(url)
  if (!socket) return { status: 0 }
  const begun = performance.now()
  let refusal: Refusal | undefined
  const over = new Promise<void>(resolve => {
    socket.once('close', () => {
      refusal ??= { status: 0 }
      resolve()
    })
    if (held.readsNothing) socket.pause()
    else
      socket.on('data', (chunk: Buffer) => {
        const status = /^HTTP\/1\.[01] (\d{3})/.exec(chunk.subarray(0, 12).toString('latin1'))?.[1]
        refusal ??= { ms: performance.now() - begun, status: Number(status ?? 0) }
        if (!held.staysOpen) resolve()
      })
  })
  const deadline = sleep(Math.max(1, held.until - performance.now()), undefined, { ref: false })
  const ended = Promise.race([over, deadline])
  socket.write(head)
  void write(socket, rest)
  await ended
  socket.destroy()
  return refusal ?? UNANSWERED
}

async function write(socket: Socket, parts: Iterable<Buffer> | AsyncIterable<Buffer>): Promise<void> {
  for await (const part of parts) {
    if (socket.destroyed) return
    if (socket.write(part)) continue
    await new Promise<void>(resolve => {
      socket.once('drain', resolve).once('close', resolve)
    })
  }
}

/** `count` streams over one HTTP/2 connection, each with `body` and no end. */
export async function http2Streams(
  url: string,
  count: number,
  headers: Record<string, string>,
  body: Buffer,
  held: Held,
): Promise<Refusal[]> {
  const socket = await open(url)
  if (!socket) return Array.from({ length: count }, () => ({ status: 0 }))
  // The bodies wait in our memory until the other side takes them.
  const session = connectHttp2(url, {
    createConnection: () => socket,
    maxSessionMemory: MOST_QUEUED_MB,
    ...(held.readsNothing && { settings: { initialWindowSize: 0 } }),
  })
  session.on('error', () => {})
  const refusals = Array.from({ length: count }, (): Refusal => ({ status: -1 }))
  const begun = performance.now()
  refusals.forEach((refusal, index) => {
    const stream = session.request({ ':method': 'POST', ...headers }, { endStream: false })
    stream.on('response', answer => {
      refusals[index] = { ms: performance.now() - begun, status: Number(answer[':status']) }
    })
    stream
      .on('error', () => {})
      .on('close', () => {
        if (refusal === refusals[index]) refusals[index] = { status: 0 }
      })
    stream.resume()
    if (body.length > 0) stream.write(body)
  })
  const closed = new Promise<void>(resolve => session.once('close', () => resolve()))
  const deadline = sleep(Math.max(1, held.until - performance.now()), undefined, { ref: false })
  await Promise.race([closed, deadline])
  const found = [...refusals]
  session.destroy()
  return found
}
