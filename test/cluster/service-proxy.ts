import { connect, createServer, type Server, type Socket } from 'node:net'
import type { ClusterApi, KubernetesObject } from './cluster-api.ts'
import { addAddress } from './network.ts'

interface Endpoint {
  address: string
  port: number
}

interface Port {
  server: Server
  endpoints: Endpoint[]
  turn: number
}

/**
 * Stands for kube-proxy and the cluster's DNS: listens at the address of each Service, and passes connections to the endpoints that
 * its EndpointSlices list as ready, in turn. A connection that an endpoint refuses goes to the next one, as gateways do it.
 */
export class ServiceProxy {
  /** How often an endpoint took no connection. */
  refusals = 0
  readonly #api: ClusterApi
  readonly #ports = new Map<string, Port>()
  readonly #services = new Map<string, KubernetesObject>()
  readonly #slices = new Map<string, KubernetesObject>()
  readonly #addresses = new Set<string>()
  readonly #onNames: (() => void)[] = []

  constructor(api: ClusterApi) {
    this.#api = api
  }

  start(): void {
    void this.#api.watch('/api/v1/services', (type, service) => {
      const { namespace, name } = service.metadata
      if (type === 'DELETED') this.#services.delete(`${namespace}/${name}`)
      else this.#services.set(`${namespace}/${name}`, service)
      this.#update()
      for (const call of this.#onNames) call()
    })
    void this.#api.watch('/apis/discovery.k8s.io/v1/endpointslices', (type, slice) => {
      if (type === 'DELETED') this.#slices.delete(slice.metadata.uid)
      else this.#slices.set(slice.metadata.uid, slice)
      this.#update()
    })
  }

  /** Lines of /etc/hosts for the pods of a namespace; `changed` is called when they change. */
  hosts(namespace: string, changed?: () => void): string {
    if (changed) this.#onNames.push(changed)
    const lines = [...this.#services.values()].map(({ metadata, spec }) => {
      const whole = `${metadata.name}.${metadata.namespace}`
      const short = metadata.namespace === namespace ? ` ${metadata.name}` : ''
      return `${spec.clusterIP} ${whole}.svc.cluster.local ${whole}.svc ${whole}${short}`
    })
    return `127.0.0.1 localhost\n${lines.join('\n')}\n`
  }

  /** Where a Service is reached. */
  address(namespace: string, name: string): string {
    return this.#services.get(`${namespace}/${name}`)?.spec.clusterIP
  }

  endpoints(namespace: string, name: string): number {
    return (
      [...this.#ports].find(([key]) => key.startsWith(`${namespace}/${name}/`))?.[1].endpoints.length ?? 0
    )
  }

  #update(): void {
    for (const [key, { spec, metadata }] of this.#services) {
      for (const { name = '', port } of spec.ports ?? []) {
        const endpoints = this.#ready(metadata, name)
        const id = `${key}/${port}`
        const known = this.#ports.get(id)
        if (known) known.endpoints = endpoints
        else this.#ports.set(id, this.#listen(spec.clusterIP, port, endpoints))
      }
    }
    for (const [id, { server }] of this.#ports) {
      if (this.#services.has(id.replace(/\/\d+$/, ''))) continue
      server.close()
      this.#ports.delete(id)
    }
  }

  #ready({ namespace, name }: KubernetesObject, portName: string) {
    const slices = [...this.#slices.values()].filter(
      ({ metadata }) =>
        metadata.namespace === namespace && metadata.labels?.['kubernetes.io/service-name'] === name,
    )
    return slices.flatMap(slice => {
      const port = (slice.ports ?? []).find((each: KubernetesObject) => (each.name ?? '') === portName)
      if (!port) return []
      return (slice.endpoints ?? [])
        .filter(({ conditions }: KubernetesObject) => conditions?.ready !== false)
        .flatMap(({ addresses }: KubernetesObject) =>
          addresses.map((address: string) => ({ address, port: port.port })),
        )
    })
  }

  #listen(address: string, port: number, endpoints: Port['endpoints']): Port {
    if (!this.#addresses.has(address)) addAddress(address)
    this.#addresses.add(address)
    const served: Port = { endpoints, turn: 0, server: createServer({ allowHalfOpen: true }) }
    served.server.on('connection', client => {
      client.on('error', () => client.destroy())
      const first = served.turn++ % Math.max(1, served.endpoints.length)
      const inTurn = [...served.endpoints.slice(first), ...served.endpoints.slice(0, first)]
      pass(client, inTurn, () => this.refusals++)
    })
    served.server.listen(port, address)
    return served
  }
}

/** Tries each of the endpoints once; `refused` is called for each that takes no connection. */
function pass(client: Socket, [endpoint, ...others]: Endpoint[], refused: () => void): void {
  if (!endpoint) return void client.resetAndDestroy()
  const backend = connect({ host: endpoint.address, port: endpoint.port, allowHalfOpen: true })
  let isConnected = false
  backend.once('connect', () => {
    isConnected = true
    client.pipe(backend)
    backend.pipe(client)
    client.once('close', () => backend.destroy())
    backend.once('close', () => client.destroy())
  })
  backend.on('error', () => {
    if (isConnected) return void client.resetAndDestroy()
    refused()
    pass(client, others, refused)
  })
}
