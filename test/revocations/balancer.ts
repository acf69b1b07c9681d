import type { AddressInfo } from 'node:net'
import { connect, createServer, type Server } from 'node:net'

/** Hands each connection to the next of several ports, as a Service of Kubernetes may. */
export class Balancer {
  readonly #ports: readonly number[]
  readonly #connections: number[]
  readonly #server: Server
  #turn = 0

  private constructor(ports: readonly number[]) {
    this.#ports = ports
    this.#connections = ports.map(() => 0)
    this.#server = createServer(client => {
      const turn = this.#turn++ % this.#ports.length
      const upstream = connect({ host: '127.0.0.1', port: this.#ports[turn] ?? 0 })
      this.#connections[turn] = (this.#connections[turn] ?? 0) + 1
      let isOpen = true
      const end = () => {
        if (isOpen) this.#connections[turn] = (this.#connections[turn] ?? 0) - 1
        isOpen = false
        client.destroy()
        upstream.destroy()
      }
      for (const socket of [client, upstream]) socket.on('error', end).on('close', end)
      client.pipe(upstream).pipe(client)
    })
  }

  static async before(ports: readonly number[]): Promise<Balancer> {
    const balancer = new Balancer(ports)
    await new Promise<void>(resolve => balancer.#server.listen(0, '127.0.0.1', resolve))
    return balancer
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Open connections to each of the ports. */
  get connections(): readonly number[] {
    return [...this.#connections]
  }

  close(): void {
    this.#server.close()
  }
}
