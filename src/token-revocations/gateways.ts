import type { Replicas } from '../installation/replicas.ts'
import type { GatewayConnections, GatewayInstance, GatewayReport } from './gateway-connections.ts'

type InstanceState = 'current' | 'behind' | 'rejected' | 'unknown'

/** A gateway process, of all replicas. */
interface ConnectedInstance extends GatewayInstance {
  /** Host of the replica that it is connected to. */
  replica: string
  /** `unknown`: its replica did not report for a while. */
  state: InstanceState
}

/** Gateways of one name that keep the deny list. */
export interface Gateway {
  name: string
  /** A token has its name, so it is expected to be connected. */
  registered: boolean
  /** The worst of its instances. */
  state: InstanceState | 'not_connected'
  instances: ConnectedInstance[]
  /** Epoch milliseconds; null: it is connected, or no running replica has seen it. */
  disconnectedAt: number | null
}

/** Who of the gateways that verify tokens by themselves has a revocation. */
export interface Enforcement {
  gateway: string
  instances: number
  enforcing: number
}

/** The gateways that keep the deny list, connected to any replica. */
export class Gateways {
  readonly #replicas: Replicas
  readonly #connections: GatewayConnections

  constructor(options: { replicas: Replicas; connections: GatewayConnections }) {
    this.#replicas = options.replicas
    this.#connections = options.connections
  }

  /** By name; an unregistered one is apart from a registered one whose name it claims, and after it. */
  async list(): Promise<Gateway[]> {
    const reports = (await this.#replicas.reports()).map(({ isOwn, gateways, ...replica }) => {
      // This process knows better than what it wrote last.
      const report = isOwn ? this.#connections.report : (gateways as GatewayReport | null)
      return { ...replica, isLate: replica.isLate && !isOwn, report }
    })
    const instances = withoutPast(
      reports.flatMap(({ host, isLate, report }) =>
        (report?.instances ?? []).map(instance => ({
          ...instance,
          replica: host,
          state: isLate ? ('unknown' as const) : stateOf(instance),
        })),
      ),
    )
    const named = Map.groupBy(
      instances.filter(({ registered }) => registered),
      ({ gateway }) => gateway,
    )
    const names = new Set([...this.#connections.registered, ...named.keys()])
    const registered = [...names].map(name => {
      const those = named.get(name) ?? []
      const ends = reports.flatMap(({ report }) => report?.disconnected[name] ?? [])
      const disconnectedAt = those.length > 0 || ends.length === 0 ? null : Math.max(...ends)
      return gatewayOf(name, true, those, disconnectedAt)
    })
    const claimed = Map.groupBy(
      instances.filter(instance => !instance.registered),
      ({ gateway }) => gateway,
    )
    const others = [...claimed].map(([name, those]) => gatewayOf(name, false, those, null))
    return [...registered, ...others].toSorted((a, b) => Number(a.name > b.name) - Number(a.name < b.name))
  }

  /**
   * A function that says who of the registered gateways has the revocation that was made at this instant, in epoch
   * milliseconds. The name of another is only what it says of itself.
   */
  async enforcement(): Promise<(createdAt: number) => Enforcement[]> {
    const gateways = (await this.list()).filter(({ registered }) => registered)
    return createdAt =>
      gateways.map(({ name, instances }) => ({
        gateway: name,
        instances: instances.length,
        // A version is the instant until which it has everything.
        enforcing: instances.filter(({ version }) => version !== null && Number(version) >= createdAt).length,
      }))
  }
}

const gatewayOf = (
  name: string,
  registered: boolean,
  instances: ConnectedInstance[],
  disconnectedAt: number | null,
): Gateway => ({ name, registered, state: worstOf(instances), instances, disconnectedAt })

function stateOf({ rejection, behindSince }: GatewayInstance): InstanceState {
  if (rejection) return 'rejected'
  return behindSince === null ? 'current' : 'behind'
}

const WORST_FIRST = ['rejected', 'behind', 'unknown', 'current'] as const

const worstOf = (instances: readonly ConnectedInstance[]) =>
  WORST_FIRST.find(state => instances.some(instance => instance.state === state)) ?? 'not_connected'

/** An instance whose replica is gone is connected to another one by now. */
function withoutPast(instances: readonly ConnectedInstance[]): ConnectedInstance[] {
  const nameOf = ({ registered, gateway, id }: ConnectedInstance) => JSON.stringify([registered, gateway, id])
  const known = new Set(instances.filter(({ state }) => state !== 'unknown').map(nameOf))
  return instances.filter(instance => instance.state !== 'unknown' || !known.has(nameOf(instance)))
}
