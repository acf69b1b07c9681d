import { until } from '../../support/until.ts'
import { type Environment, PATIENCE_MS } from './environment.ts'
import { fillKeys } from './known-keys.ts'
import { Ledger } from './ledger.ts'
import { type Samples, type StreamPlan, streams } from './load.ts'
import { reportExchanges } from './outage.ts'
import type { Postgres } from './postgres.ts'
import type { Replica } from './replica.ts'
import { WHY } from './report.ts'

const KEYS = 1_000
/** Acknowledged changes, at least. */
const CHANGES = 5
/** Where the machine is overloaded most changes are 503, because Postgres does not answer in time. */
const CHANGED_MS = 3 * PATIENCE_MS

export interface Scene {
  replica: Replica
  postgres: Postgres
  /** Of the keys that the load exchanges. */
  secrets: readonly string[]
  /** Returns once this many more changes are acknowledged. */
  changes(count: number): Promise<unknown>
}

export interface Setting {
  postgres?: Postgres
  start?: (postgres: Postgres) => Promise<Replica>
  /** More streams than those of known keys and /readyz. */
  more?: (replica: Replica) => StreamPlan[]
  /** Usual bounds of the exchanges, in milliseconds. */
  usually?: { p99: number; slowest?: number }
}

/**
 * Something happens to one replica, or in its surroundings, while it exchanges known keys, answers /readyz and makes
 * changes. Reports what must hold, whatever that is; returns the responses by stream.
 */
export async function underLoad(
  environment: Environment,
  setting: Setting,
  happens: (scene: Scene) => Promise<void>,
): Promise<(stream: string) => Samples> {
  const { report } = environment
  const postgres = setting.postgres ?? (await environment.postgres())
  const secrets = (await fillKeys(postgres, KEYS)).map(({ secret }) => secret)
  const start = setting.start ?? (() => environment.replica(postgres.applicationUrl()))
  const replica = await start(postgres)
  const load = environment.load(
    streams.known([replica], secrets, {
      perSecond: environment.rate(500),
      connections: 50,
      connected: true,
    }),
    streams.ready([replica], { perSecond: 5, connections: 5, connected: true }),
    ...(setting.more?.(replica) ?? []),
  )
  const ledger = new Ledger(replica, { perSecond: 10 })
  ledger.start()
  const changes = (count: number) => {
    const enough = ledger.acknowledged + count
    return until('changes are acknowledged', () => ledger.acknowledged >= enough, Boolean, CHANGED_MS)
  }
  await until('it has work', () => replica.process.logged('request').length > 100, Boolean, PATIENCE_MS)
  await changes(CHANGES)
  await happens({ replica, postgres, secrets, changes })
  await ledger.stop()
  const answered = await load.stop()
  reportExchanges(report, answered('known'), { atLeast: 100, ...setting.usually })
  report.invariant('/readyz other than 200', answered('ready').failing(200).count, {
    exactly: 0,
    why: WHY.knownKeys,
  })
  report.invariant('acknowledged changes that are lost', (await ledger.lost(replica)).length, {
    exactly: 0,
    why: WHY.nothingLost,
  })
  report.holds('the process is the same', replica.process.child.exitCode === null, WHY.recovers)
  return answered
}
