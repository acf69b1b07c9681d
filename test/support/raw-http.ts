import { connect } from 'node:net'

export interface RawAnswer {
  /** 0: the connection was closed without an answer. */
  status: number
  text: string
}

/** Sends these bytes unchanged and reads until the other side closes, or has answered and is silent for `silenceMs`. */
export function rawHttp(baseUrl: string, bytes: string | Buffer, silenceMs = 300): Promise<RawAnswer> {
  const { hostname, port } = new URL(baseUrl)
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port) })
    let text = ''
    const done = () => {
      socket.destroy()
      resolve({ status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0), text })
    }
    socket.setTimeout(60_000)
    socket.on('timeout', () => {
      const before = text
      if (before === '') {
        socket.destroy()
        return reject(new Error('no answer, and not closed either'))
      }
      // A busy process notices the end of the time before it reads what arrived meanwhile.
      setImmediate(() => text === before && done())
    })
    socket.setEncoding('latin1').on('data', chunk => {
      text += chunk
      socket.setTimeout(silenceMs)
    })
    socket.once('end', done)
    socket.once('error', done)
    socket.write(bytes)
  })
}
