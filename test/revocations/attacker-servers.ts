import type { createSecureServer, Http2Server, ServerHttp2Stream } from 'node:http2'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { denyFilter } from '../../src/xds/deny-filter.ts'
import { discoveryResponse } from '../../src/xds/discovery-messages.ts'
import { framed } from '../../src/xds/grpc-stream.ts'

/** In place of Mintmark: an empty list of the far future, for anyone who asks. */
export class Attacker {
  /** The credentials that it was sent. */
  readonly read: string[] = []
  connections = 0
  readonly #server: Http2Server
  readonly #close: (() => void)[] = []

  private constructor(server: Http2Server) {
    this.#server = server
    server.on('connection', socket => {
      this.connections++
      this.#close.push(() => socket.destroy())
      socket.on('error', () => {})
    })
    server.on('sessionError', () => {})
    server.on('stream', (stream: ServerHttp2Stream, headers) => {
      stream.on('error', () => {})
      this.read.push(headers.authorization ?? 'none')
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' })
      stream.write(framed(discoveryResponse('99999999999999', '1', denyFilter([]))))
    })
  }

  static async start(server: Http2Server | ReturnType<typeof createSecureServer>): Promise<Attacker> {
    const attacker = new Attacker(server as Http2Server)
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', () => resolve()))
    return attacker
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  close(): void {
    this.#server.close()
    for (const close of this.#close) close()
  }
}

/** Passes connections on, and keeps what the server sent on the first one. */
export class Recorder {
  recorded: Buffer = Buffer.alloc(0)
  #isFirst = true
  readonly #server: Server

  private constructor(target: number) {
    this.#server = createServer(client => {
      const isFirst = this.#isFirst
      this.#isFirst = false
      const upstream = connect({ host: '127.0.0.1', port: target })
      const end = () => {
        client.destroy()
        upstream.destroy()
      }
      for (const socket of [client, upstream]) socket.on('error', end).on('close', end)
      if (isFirst)
        upstream.on('data', (chunk: Buffer) => {
          this.recorded = Buffer.concat([this.recorded, chunk])
        })
      client.pipe(upstream).pipe(client)
    })
  }

  static async before(target: number): Promise<Recorder> {
    const recorder = new Recorder(target)
    await new Promise<void>(resolve => recorder.#server.listen(0, '127.0.0.1', resolve))
    return recorder
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  close(): void {
    this.#server.close()
  }
}

/** Sends recorded bytes to each client that has spoken. */
export class Replay {
  connections = 0
  readonly #server: Server

  private constructor(bytes: Buffer) {
    this.#server = createServer(client => {
      client.on('error', () => {})
      client.once('data', () => {
        this.connections++
        client.write(bytes)
      })
    })
  }

  static async of(bytes: Buffer): Promise<Replay> {
    const replay = new Replay(bytes)
    await new Promise<void>(resolve => replay.#server.listen(0, '127.0.0.1', resolve))
    return replay
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  close(): void {
    this.#server.close()
  }
}
