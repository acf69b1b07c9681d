import { connect, type Socket } from 'node:net'

type Answered = (status: number, retryAfter: boolean) => void

/** A kept connection at a tenth of the cost of an ordinary client's, so that a flood is not limited by its sender. */
export class FloodConnection {
  readonly #address: { host: string; port: number; localAddress?: string }
  #socket: Socket | undefined
  #answered: Answered | undefined
  #received = ''

  constructor(url: string, localAddress: string | undefined) {
    const { hostname, port } = new URL(url)
    this.#address = { host: hostname, port: Number(port), ...(localAddress && { localAddress }) }
  }

  /** No request is in progress. */
  get free(): boolean {
    return this.#answered === undefined
  }

  /** Status 0: the connection ended without a response; the next request opens another. */
  post(path: string, form: string, answered: Answered): void {
    this.#answered = answered
    this.#socket ??= this.#connect()
    this.#socket.write(
      `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${form.length}\r\n\r\n${form}`,
    )
  }

  close(): void {
    this.#socket?.destroy()
  }

  #connect(): Socket {
    const socket = connect(this.#address)
    socket.setNoDelay(true).setEncoding('latin1')
    socket.on('data', (text: string) => this.#read(text)).on('error', () => {})
    socket.once('close', () => {
      this.#socket = undefined
      this.#end(0, false)
    })
    return socket
  }

  #read(text: string): void {
    this.#received += text
    const headEnd = this.#received.indexOf('\r\n\r\n')
    if (headEnd < 0) return
    const head = this.#received.slice(0, headEnd)
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1])
    if (this.#received.length < headEnd + 4 + length) return
    this.#end(Number(head.slice('HTTP/1.1 '.length, 'HTTP/1.1 200'.length)), /\r\nretry-after:/i.test(head))
  }

  #end(status: number, retryAfter: boolean): void {
    const answered = this.#answered
    this.#answered = undefined
    this.#received = ''
    answered?.(status, retryAfter)
  }
}
