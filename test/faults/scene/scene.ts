import { Load, type StreamPlan } from './load.ts'
import { type Place, Postgres } from './postgres.ts'
import { type Replica, replicaAt, startReplicaProcess } from './replica.ts'
import { Report } from './report.ts'

/** CI's machine is not for itself, so the percentiles of the short form have longer bars; nothing else has. */
const SHORT_FORM_ALLOWANCE = 4

/** What an experiment is given: how long to go on, where to write what it measured, and things that end with it. */
export class Scene {
  readonly report: Report
  /** The figures of docs/faults.md, rather than those of each run of CI. */
  readonly full: boolean
  /** Last begun, first ended. */
  readonly #ends: (() => unknown)[] = []

  constructor(options: { full: boolean }) {
    this.full = options.full
    this.report = new Report({ allowance: options.full ? 1 : SHORT_FORM_ALLOWANCE })
  }

  /** How long the database is away. */
  get outageMs(): number {
    return this.full ? 60_000 : 10_000
  }

  /** `end` is called when the experiment is over, however it went. */
  onEnd(end: () => unknown): void {
    this.#ends.push(end)
  }

  async postgres(place?: Place): Promise<Postgres> {
    return this.ending(await Postgres.create(place))
  }

  /** The same Postgres, which is removed at the end. */
  ending(postgres: Postgres): Postgres {
    this.onEnd(() => postgres.remove())
    return postgres
  }

  /** Ready. */
  async replica(databaseUrl: string, env: Record<string, string> = {}): Promise<Replica> {
    const process = startReplicaProcess(databaseUrl, env)
    this.onEnd(() => process.kill())
    return replicaAt(process, await process.ready(30_000))
  }

  load(...plans: StreamPlan[]): Load {
    const load = new Load(plans)
    this.onEnd(() => load.kill())
    return load
  }

  async close(): Promise<void> {
    for (const end of this.#ends.splice(0).reverse()) await end()
  }
}

/** One experiment: `npm run faults -- F1`. */
export interface Experiment {
  id: string
  title: string
  /** Why it cannot be done on this machine, and what it would take. */
  lacks?(): string | undefined
  run(scene: Scene): Promise<void>
}

/** Milliseconds since the epoch, without jumps, as samples have them. */
export const now = (): number => performance.timeOrigin + performance.now()
