import type { Clock } from '../../system/clock.ts'
import { ApiConflict, type KubernetesApi, type KubernetesObject } from './kubernetes-api.ts'

const GROUP = '/apis/coordination.k8s.io/v1'

export interface LeaseOptions {
  api: KubernetesApi
  clock: Clock
  namespace: string
  name: string
  /** This process. */
  identity: string
  /** After this time without a renewal another process takes the lease. */
  durationSeconds: number
}

/**
 * The lease of one installation, so that one of several processes writes. A second writer would do no harm: each write is
 * compared with the current object.
 */
export class Lease {
  readonly #options: LeaseOptions
  /** The renewal of another holder that was seen last, and since when: clocks of two machines are not compared. */
  #seen = { renewal: '', since: 0 }

  constructor(options: LeaseOptions) {
    this.#options = options
  }

  /** Takes or renews the lease. False while another process has it. @throws {SyncFault} */
  async hold(): Promise<boolean> {
    const { api, namespace, name, identity } = this.#options
    const lease = await api.find(this.#path)
    if (lease && this.#isOfAnother(lease.spec ?? {})) return false
    const mine = lease?.spec?.holderIdentity === identity
    const spec = this.#spec(lease?.spec ?? {}, mine)
    const metadata = lease?.metadata ?? { name, namespace }
    const object = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec }
    try {
      if (lease) await api.call('PUT', this.#path, object)
      else await api.call('POST', `${GROUP}/namespaces/${namespace}/leases`, object)
      return true
    } catch (error) {
      if (error instanceof ApiConflict) return false
      throw error
    }
  }

  /** Gives the lease back, so that another process need not wait until it expires. */
  async release(): Promise<void> {
    const { api, identity } = this.#options
    const lease = await api.find(this.#path)
    if (lease?.spec?.holderIdentity !== identity) return
    await api.call('PUT', this.#path, { ...lease, spec: { ...lease.spec, holderIdentity: '' } })
  }

  get #path(): string {
    return `${GROUP}/namespaces/${this.#options.namespace}/leases/${this.#options.name}`
  }

  #isOfAnother({ holderIdentity, renewTime, leaseDurationSeconds }: KubernetesObject): boolean {
    const { clock, identity, durationSeconds } = this.#options
    if (!holderIdentity || holderIdentity === identity) return false
    const renewal = `${holderIdentity} ${renewTime}`
    if (this.#seen.renewal !== renewal) this.#seen = { renewal, since: clock.monotonicMs() }
    const seconds = (clock.monotonicMs() - this.#seen.since) / 1_000
    return seconds < (leaseDurationSeconds ?? durationSeconds)
  }

  #spec(before: KubernetesObject, mine: boolean): object {
    const { clock, identity, durationSeconds } = this.#options
    const now = new Date(clock.wallMs()).toISOString().replace('Z', '000Z')
    return {
      holderIdentity: identity,
      leaseDurationSeconds: durationSeconds,
      acquireTime: mine ? before.acquireTime : now,
      renewTime: now,
      leaseTransitions: (before.leaseTransitions ?? 0) + (mine ? 0 : 1),
    }
  }
}
