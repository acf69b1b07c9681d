/** One connection of a gateway that keeps the deny list. */
export interface GatewayConnection {
  /** The name of its token: it is registered. */
  readonly gateway: string | undefined
  /** What it says of itself, bounded. */
  readonly node: {
    id: string
    cluster: string
    envoyVersion: string | undefined
    contract: string | undefined
    enforces: readonly string[]
  }
  /** Epoch milliseconds, database time, as all instants here. */
  readonly connectedSince: number
  /** It has every revocation until this instant, from this replica. */
  readonly acknowledged: { version: string } | undefined
  /** Since when it lacks the current list. */
  readonly behindSince: number | undefined
  readonly behindMs: number
  /** It refused the last list. */
  readonly rejection: { reason: string; at: number } | undefined
}

/** A gateway process, as a replica that it is connected to reports it: all connections with one name and id. */
export interface GatewayInstance {
  gateway: string
  registered: boolean
  id: string
  envoyVersion: string | null
  contract: string | null
  enforces: readonly string[]
  connections: number
  connectedSince: number
  /** Every connection has acknowledged all revocations until this instant. */
  version: string | null
  behindSince: number | null
  rejection: { reason: string; at: number } | null
}

/** What a replica reports about the gateways that are connected to it. */
export interface GatewayReport {
  instances: GatewayInstance[]
  /** When the last connection of a registered gateway ended, of those without one. */
  disconnected: Record<string, number>
}

/** Bounds the row of a replica. */
const MOST_INSTANCES = 200

/** The gateways that are connected to this process. */
export class GatewayConnections {
  /** Lists that gateways rejected. */
  rejectedLists = 0
  readonly #registered: ReadonlySet<string>
  readonly #now: () => number
  readonly #connections = new Set<GatewayConnection>()
  readonly #disconnected = new Map<string, number>()

  constructor(options: { registered: Iterable<string>; now: () => number }) {
    this.#registered = new Set(options.registered)
    this.#now = options.now
  }

  /** Names that are expected to be connected. */
  get registered(): string[] {
    return [...this.#registered]
  }

  /** Returns what removes it again. */
  add(connection: GatewayConnection): () => void {
    this.#connections.add(connection)
    return () => {
      this.#connections.delete(connection)
      const { gateway } = connection
      if (gateway !== undefined) this.#disconnected.set(gateway, Math.round(this.#now()))
    }
  }

  /** Number of connections by registered name; `other`: without one. */
  get counts(): Record<string, number> {
    const counts: Record<string, number> = { other: 0 }
    for (const name of this.#registered) counts[name] = 0
    for (const { gateway = 'other' } of this.#connections) counts[gateway] = (counts[gateway] ?? 0) + 1
    return counts
  }

  /** The longest time that a connected gateway lacks the current list. */
  get behindMs(): number {
    let longest = 0
    for (const { behindMs } of this.#connections) longest = Math.max(longest, behindMs)
    return longest
  }

  get report(): GatewayReport {
    const instances = Map.groupBy(this.#connections, nameOf)
    const listed = [...instances.values()].map(instanceOf)
    const connected = new Set(listed.flatMap(({ registered, gateway }) => (registered ? gateway : [])))
    const disconnected = [...this.#disconnected].filter(([name]) => !connected.has(name))
    return {
      // Registered ones first, and of each kind those that need attention.
      instances: listed.toSorted((a, b) => concern(b) - concern(a)).slice(0, MOST_INSTANCES),
      disconnected: Object.fromEntries(disconnected),
    }
  }
}

const nameOf = ({ gateway, node }: GatewayConnection) => JSON.stringify([gateway, node.cluster, node.id])

const concern = ({ registered, behindSince }: GatewayInstance) =>
  Number(registered) * 2 + Number(behindSince !== null)

function instanceOf(connections: readonly GatewayConnection[]): GatewayInstance {
  const [first] = connections
  if (!first) throw new Error('an instance has a connection')
  const { gateway, node } = first
  const versions = connections.map(({ acknowledged }) => acknowledged && Number(acknowledged.version))
  const oldest = versions.includes(undefined) ? undefined : Math.min(...versions.map(Number))
  const behind = connections.flatMap(({ behindSince }) => behindSince ?? [])
  return {
    gateway: gateway ?? node.cluster,
    registered: gateway !== undefined,
    id: node.id,
    envoyVersion: node.envoyVersion ?? null,
    contract: node.contract ?? null,
    enforces: node.enforces,
    connections: connections.length,
    connectedSince: Math.round(Math.min(...connections.map(({ connectedSince }) => connectedSince))),
    version: oldest === undefined ? null : String(oldest),
    behindSince: behind.length === 0 ? null : Math.min(...behind),
    rejection: connections.find(({ rejection }) => rejection)?.rejection ?? null,
  }
}
