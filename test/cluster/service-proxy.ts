import { writeFileSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ApiServer, KubernetesObject } from './api-server.ts'

const POLL_MS = 200

/**
 * In the place of kube-proxy and the cluster's DNS: listens on the address of each Service, passes each connection to the next
 * ready endpoint of its EndpointSlices, and writes the names of Services into /etc/hosts (of the suite's own mount namespace).
 */
export class ServiceProxy {
  readonly #api: ApiServer
  readonly #servers = new Map<string, Server>()
  readonly #backends = new Map<string, { host: string; port: number }[]>()
  #turn = 0
  #stopped = false
  #loop = Promise.resolve()
  readonly faults: string[] = []

  constructor(api: ApiServer) {
    this.#api = api
  }

  start(): void {
    this.#loop = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#loop
    for (const server of this.#servers.values()) server.close()
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#update()
      } catch (error) {
        this.faults.push((error as Error).message)
      }
      await sleep(POLL_MS)
    }
  }

  async #update(): Promise<void> {
    const services = (await this.#api.list('/api/v1/services')).filter(({ spec }) => spec.selector)
    const slices = await this.#api.list('/apis/discovery.k8s.io/v1/endpointslices')
    const hosts = ['127.0.0.1 localhost']
    for (const { metadata, spec } of services) {
      const { name, namespace } = metadata
      hosts.push(
        `${spec.clusterIP} ${name} ${name}.${namespace} ${name}.${namespace}.svc ${name}.${namespace}.svc.cluster.local`,
      )
      const own = slices.filter(
        slice =>
          slice.metadata.namespace === namespace &&
          slice.metadata.labels['kubernetes.io/service-name'] === name,
      )
      for (const port of spec.ports) {
        const at = `${spec.clusterIP}:${port.port}`
        this.#backends.set(
          at,
          own.flatMap(slice => readyOf(slice, port.name)),
        )
        if (!this.#servers.has(at)) this.#servers.set(at, this.#listen(at))
      }
    }
    writeFileSync('/etc/hosts', `${hosts.join('\n')}\n`)
  }

  #listen(at: string): Server {
    const [host, port] = at.split(':')
    const server = createServer(client => {
      const backends = this.#backends.get(at) ?? []
      const backend = backends[this.#turn++ % backends.length]
      if (!backend) return void client.resetAndDestroy()
      const upstream = connect(backend.port, backend.host)
      client.pipe(upstream).pipe(client)
      client.on('error', () => upstream.destroy())
      upstream.on('error', () => client.resetAndDestroy())
    })
    return server.listen(Number(port), host)
  }
}

const readyOf = (slice: KubernetesObject, name: string) => {
  const port = slice.ports?.find((each: { name: string }) => each.name === name)?.port
  if (port === undefined) return []
  return (slice.endpoints ?? [])
    .filter(({ conditions }: KubernetesObject) => conditions.ready)
    .flatMap(({ addresses }: KubernetesObject) => addresses.map((host: string) => ({ host, port })))
}
