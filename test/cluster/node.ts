import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ClusterApi, KubernetesObject } from './cluster-api.ts'
import { Pod } from './pod.ts'
import type { ServiceProxy } from './service-proxy.ts'

const NAME = 'node-1'

/** The one node of the suite, in place of a kubelet: runs the pods that the scheduler gives it. */
export class ClusterNode {
  readonly #api: ClusterApi
  readonly #proxy: ServiceProxy
  readonly #folder: string
  readonly #pods = new Map<string, Pod>()
  readonly #hosts = new Map<string, string>()

  constructor(api: ClusterApi, proxy: ServiceProxy, folder: string) {
    this.#api = api
    this.#proxy = proxy
    this.#folder = folder
  }

  async start(): Promise<void> {
    const labels = { 'kubernetes.io/hostname': NAME, 'topology.kubernetes.io/zone': 'zone-1' }
    await this.#api.post('/api/v1/nodes', {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: NAME, labels },
    })
    const capacity = { cpu: '16', memory: '32Gi', pods: '110', 'ephemeral-storage': '100Gi' }
    const ready = {
      type: 'Ready',
      status: 'True',
      reason: 'SuiteReady',
      lastTransitionTime: new Date().toISOString(),
    }
    await this.#api.patch(`/api/v1/nodes/${NAME}`, { spec: { taints: [] } })
    await this.#api.patch(`/api/v1/nodes/${NAME}/status`, {
      status: { capacity, allocatable: capacity, conditions: [ready] },
    })
    void this.#api.watch('/api/v1/pods', (type, pod) => this.#changed(type, pod))
  }

  /** The running pods with this label and value. */
  pods(label: string, value: string): Pod[] {
    return [...this.#pods.values()].filter(({ object }) => object.metadata.labels?.[label] === value)
  }

  end(): void {
    for (const pod of this.#pods.values()) pod.end()
  }

  #changed(type: string, object: KubernetesObject): void {
    const { uid, deletionTimestamp, deletionGracePeriodSeconds } = object.metadata
    if (object.spec.nodeName !== NAME) return
    const known = this.#pods.get(uid)
    if (type === 'DELETED') {
      known?.end()
      this.#pods.delete(uid)
    } else if (deletionTimestamp) {
      void known?.stop(deletionGracePeriodSeconds ?? 30)
    } else if (!known) {
      const pod = new Pod(object, {
        api: this.#api,
        folder: this.#folder,
        node: NAME,
        hostsOf: namespace => this.#hostsOf(namespace),
      })
      this.#pods.set(uid, pod)
      pod
        .run()
        .catch(error => console.log(`  note    pod ${object.metadata.name}: ${(error as Error).message}`))
    }
  }

  /** One file for each namespace, kept up to date. */
  #hostsOf(namespace: string): string {
    const known = this.#hosts.get(namespace)
    if (known) return known
    mkdirSync(join(this.#folder, 'hosts'), { recursive: true })
    const file = join(this.#folder, 'hosts', namespace)
    const write = () => writeFileSync(file, this.#proxy.hosts(namespace))
    writeFileSync(file, this.#proxy.hosts(namespace, write))
    this.#hosts.set(namespace, file)
    return file
  }
}
