import { connect } from 'node:net'

export interface RawAnswer {
  /** 0: the connection was closed without an answer. */
  status: number
  text: string
}

/** Sends these bytes unchanged and reads until the other side closes, or has answered and is silent. */
export function rawHttp(baseUrl: string, bytes: string | Buffer): Promise<RawAnswer> {
  const { hostname, port } = new URL(baseUrl)
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port) })
    let text = ''
    const done = () => {
      socket.destroy()
      resolve({ status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0), text })
    }
    socket.setTimeout(15_000)
    socket.once('timeout', () => {
      if (text !== '') return done()
      socket.destroy()
      reject(new Error('no answer, and not closed either'))
    })
    socket.setEncoding('latin1').on('data', chunk => {
      text += chunk
      socket.setTimeout(300)
    })
    socket.once('end', done)
    socket.once('error', done)
    socket.write(bytes)
  })
}
