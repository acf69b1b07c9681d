import { connect, createServer, type Server, type Socket } from 'node:net'
import { freePort } from './free-port.ts'

/** The behaviour of the network between us and Postgres. */
export type Fault =
  /** Everything passes. */
  | 'none'
  /** Connections are reset, new ones too, as by a crashing server. */
  | 'cut'
  /** Connections are refused. */
  | 'refuse'
  /** Connections stay and are accepted, requests arrive, and no response is returned. */
  | 'hang'
  /** Connections stay, requests arrive, and their responses are returned when this is over. */
  | 'hold'
  /** As `hang`, without closing messages: nothing is read or sent, as by a stopped machine. */
  | 'freeze'

interface Pair {
  client: Socket
  upstream: Socket
  /** Responses that are held back; undefined: they pass. */
  held: Buffer[] | undefined
  /** When the last delayed response is to be written, in monotonic milliseconds. */
  dueAt: number
  delayed: Buffer[]
}

/** A TCP proxy for Postgres that can simulate faults. */
export class TcpProxy {
  #target: { host: string; port: number }
  readonly #pairs = new Set<Pair>()
  #trap: { text: string; connections: number; sprung: () => void } | undefined
  #server: Server
  #fault: Fault = 'none'
  #port = 0
  /** Delay of each response in milliseconds. */
  delayMs = 0

  private constructor(target: { host: string; port: number }) {
    this.#target = target
    this.#server = this.#newServer()
  }

  /** `databaseUrl` with this proxy in place of its host and port is `proxy.url`. */
  static async before(databaseUrl: string): Promise<TcpProxy & { url: string }> {
    const url = new URL(databaseUrl)
    const proxy = new TcpProxy(addressOf(databaseUrl))
    // It is given up and taken again, and must not be another suite's by then.
    proxy.#port = await freePort()
    await proxy.#listen()
    url.hostname = '127.0.0.1'
    url.port = String(proxy.#port)
    return Object.assign(proxy, { url: url.href })
  }

  async become(fault: Fault): Promise<void> {
    if (this.#fault === 'refuse' && fault !== 'refuse') await this.#listen()
    const held = this.#fault === 'hold'
    this.#fault = fault
    for (const pair of this.#pairs) if (fault === 'hold') pair.held ??= []
    if (held && fault === 'none') return this.release()
    if (fault === 'refuse') await this.#close()
    for (const { client } of this.#pairs) if (fault === 'freeze') client.pause()
    // Data that was held back is lost, as after a partition that outlasts TCP's timeout.
    if (fault === 'cut' || fault === 'none') this.#resetAll()
  }

  /** From now on it connects to another server; existing connections are cut. */
  leadTo(databaseUrl: string): void {
    this.#target = addressOf(databaseUrl)
    this.#resetAll()
  }

  /**
   * Holds back the response to the next request that contains this text, on as many connections; resolves when the last
   * of them has arrived.
   */
  holdAnswerTo(text: string, connections = 1): Promise<void> {
    return new Promise(sprung => {
      this.#trap = { text, connections, sprung }
    })
  }

  /** Number of connections with a response held back. */
  get holding(): number {
    return [...this.#pairs].filter(({ held }) => held && held.length > 0).length
  }

  /** Releases what was held back. */
  release(): void {
    for (const pair of this.#pairs) {
      for (const chunk of pair.held ?? []) pair.client.write(chunk)
      pair.held = undefined
    }
  }

  /** Open connections of the service through this proxy. */
  get connections(): number {
    return this.#pairs.size
  }

  async close(): Promise<void> {
    if (this.#fault !== 'refuse') await this.#close()
  }

  #newServer(): Server {
    return createServer(client => {
      if (this.#fault === 'cut') return void client.resetAndDestroy()
      const upstream = connect(this.#target)
      const pair: Pair = {
        client,
        upstream,
        held: this.#fault === 'hold' ? [] : undefined,
        dueAt: 0,
        delayed: [],
      }
      this.#pairs.add(pair)
      const end = () => {
        this.#pairs.delete(pair)
        client.destroy()
        upstream.destroy()
      }
      client.on('data', (chunk: Buffer) => {
        if (this.#trap && chunk.includes(this.#trap.text)) {
          pair.held ??= []
          this.#trap.connections--
          if (this.#trap.connections === 0) {
            this.#trap.sprung()
            this.#trap = undefined
          }
        }
        upstream.write(chunk)
      })
      if (this.#fault === 'freeze') client.pause()
      upstream.on('data', (chunk: Buffer) => {
        if (pair.held) pair.held.push(chunk)
        else if (this.delayMs > 0 || pair.dueAt > performance.now()) this.#writeLater(pair, chunk)
        else if (!['hang', 'freeze'].includes(this.#fault)) client.write(chunk)
      })
      for (const socket of [client, upstream]) socket.on('error', end).on('close', end)
    })
  }

  /** Never before earlier data: timers whose delays differ by a fraction of a millisecond end in any order. */
  #writeLater(pair: Pair, chunk: Buffer): void {
    const now = performance.now()
    pair.dueAt = Math.max(pair.dueAt, now + this.delayMs)
    pair.delayed.push(chunk)
    setTimeout(() => pair.client.write(pair.delayed.shift() as Buffer), pair.dueAt - now)
  }

  async #listen(): Promise<void> {
    this.#server = this.#newServer()
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(this.#port, '127.0.0.1', resolve)
    })
  }

  async #close(): Promise<void> {
    const closed = new Promise(resolve => this.#server.close(resolve))
    this.#resetAll()
    await closed
  }

  #resetAll(): void {
    for (const { client, upstream } of this.#pairs) {
      client.resetAndDestroy()
      upstream.destroy()
    }
  }
}

function addressOf(databaseUrl: string): { host: string; port: number } {
  const { hostname, port } = new URL(databaseUrl)
  return { host: hostname, port: Number(port || 5432) }
}
