import type { Output } from '../../support/service-process.ts'
import { Load, type StreamPlan } from './load.ts'
import { type Place, Postgres } from './postgres.ts'
import { type Replica, replicaAt, startReplicaProcess } from './replica.ts'
import { Report } from './report.ts'

/** How long to wait for untimed events, in milliseconds: no noise of the machine takes as long. */
export const PATIENCE_MS = 60_000
/** How many times more requests the full form sends than the short one, which shares the machine. */
const FULL_LOAD = 5

/** The tools of an experiment: its duration, its report, and cleanup at its end. */
export class Environment {
  readonly report = new Report()
  /** The figures of docs/faults.md, as opposed to those of each CI run. */
  readonly full: boolean
  /** Last registered, first run. */
  readonly #ends: (() => unknown)[] = []

  constructor(options: { full: boolean }) {
    this.full = options.full
  }

  /** How long the database is down. */
  get outageMs(): number {
    return this.full ? 60_000 : 10_000
  }

  /** Requests per second: the given rate in the full form, fewer in the short one. */
  rate(perSecond: number): number {
    return this.full ? perSecond : perSecond / FULL_LOAD
  }

  /** `end` is called when the experiment ends, however it went. */
  onEnd(end: () => unknown): void {
    this.#ends.push(end)
  }

  async postgres(place?: Place): Promise<Postgres> {
    return this.ending(await Postgres.create(place))
  }

  /** The same Postgres, removed at the end. */
  ending(postgres: Postgres): Postgres {
    this.onEnd(() => postgres.remove())
    return postgres
  }

  /** Ready; it writes to a file unless `output` is something else. `file` is the program of another build. */
  async replica(
    databaseUrl: string,
    env: Record<string, string> = {},
    output?: Output,
    ...file: string[]
  ): Promise<Replica> {
    const process = startReplicaProcess(databaseUrl, env, output, ...file)
    this.onEnd(() => process.kill())
    return replicaAt(process, await process.ready(PATIENCE_MS))
  }

  load(...plans: StreamPlan[]): Load {
    const load = new Load(this.full ? plans : plans.map(bounded))
    this.onEnd(() => load.kill())
    return load
  }

  /** One end that fails, as of a folder that is still in use, keeps none of the others from running. */
  async close(): Promise<void> {
    for (const end of this.#ends.splice(0).reverse()) {
      try {
        await end()
      } catch (error) {
        console.error('at the end:', error)
      }
    }
  }
}

/** On a busy machine it sends less, rather than queue requests that then take seconds. */
const bounded = (plan: StreamPlan): StreamPlan => ({ ...plan, mostUnderWay: plan.connections })

/** One experiment: `npm run faults -- F1`. */
export interface Experiment {
  id: string
  title: string
  /** Why it cannot run on this machine, and what it needs. */
  lacks?(): string | undefined
  run(environment: Environment): Promise<void>
}

/** Milliseconds since the epoch, monotonic, as in samples. */
export const now = (): number => performance.timeOrigin + performance.now()
