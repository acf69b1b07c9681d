import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { until } from '../support/until.ts'
import { type Environment, type Experiment, now, PATIENCE_MS } from './environment/environment.ts'
import { fillKeys } from './environment/known-keys.ts'
import { streams } from './environment/load.ts'
import { connectionsOf, REFUSED, refusals, reportExchanges, reportRefusals } from './environment/outage.ts'
import { MAX_CONNECTIONS, type Postgres } from './environment/postgres.ts'
import { unknownKey } from './environment/replica.ts'
import { WHY } from './environment/report.ts'

const POOL = 5
/** So often in a row Mintmark must have no connection before it counts as having none. */
const LOOKS_WITHOUT = 5
const LOOK_AGAIN_MS = 50
/** Concurrent callers. */
const CALLERS = { full: 500, short: 100 }

/**
 * Other clients take every connection of Postgres, including Mintmark's, while 500 callers (short: 100) exchange keys.
 */
export const experiment: Experiment = {
  id: 'F19',
  title: 'Every connection of Postgres taken by others',
  run: async environment => {
    const { report } = environment
    const callers = CALLERS[environment.full ? 'full' : 'short']
    const postgres = await environment.postgres()
    const keys = await fillKeys(postgres, 1_000)
    const replica = await environment.replica(postgres.applicationUrl(), {
      MINTMARK_DATABASE_MAX_CONNECTIONS: `${POOL}`,
    })
    const few = { perSecond: 20, connections: 50 }
    const load = environment.load(
      streams.known(
        [replica],
        keys.map(({ secret }) => secret),
        { perSecond: environment.rate(500), connections: callers },
      ),
      streams.unknown([replica], few),
      streams.adminReads([replica], few),
    )
    await sleep(1_000)
    const others = await takeAll(environment, postgres)
    const from = now()
    report.invariant('connections that others hold', others.held, {
      atLeast: MAX_CONNECTIONS - 10,
      why: WHY.carriedOut,
    })
    report.invariant('connections that Mintmark has left', others.left, {
      exactly: 0,
      why: WHY.carriedOut,
    })
    const bursts: number[] = []
    while (now() - from < environment.outageMs) {
      const answers = await Promise.all(
        Array.from({ length: callers }, (_, index) => replica.exchange(keys[index]?.secret ?? '')),
      )
      bursts.push(...answers.map(({ status }) => status))
      await sleep(500)
    }
    const refused = await refusals(replica)
    const to = now()
    await others.release()
    const freed = now()
    await until(
      'administration is back',
      () => replica.admin('GET', '/tenants'),
      ({ status }) => status === 200,
      PATIENCE_MS,
    )
    await until(
      'keys are looked up',
      () => replica.exchange(unknownKey()),
      ({ status }) => status === 401,
      PATIENCE_MS,
    )
    const back = now() - freed
    await sleep(2_000)
    const quiet = (count: number) => count <= POOL
    const connections = () => connectionsOf(postgres)
    report.invariant(
      'connections once it is quiet',
      await until('it is quiet', connections, quiet, 15_000).catch(connections),
      { atMost: POOL, why: WHY.bounded },
    )
    const answered = await load.stop()
    reportExchanges(report, answered('known'), { atLeast: 100 })
    report.invariant(`exchanges, ${callers} at once`, bursts.length, {
      atLeast: callers,
      why: WHY.carriedOut,
    })
    const failing = bursts.filter(status => status !== 200)
    if (failing.length > 0) report.note('their statuses', [...new Set(failing)].join(', '))
    report.invariant(`exchanges, ${callers} at once, that failed`, failing.length, {
      exactly: 0,
      why: WHY.knownKeys,
    })
    report.invariant(REFUSED, refused, { exactly: 3, why: WHY.honest })
    reportRefusals(report, 'unknown keys', answered('unknown').within(from, to))
    reportRefusals(report, 'admin reads', answered('adminReads').within(from, to))
    report.promise('everything is answered again after', back / 1000, {
      usually: 5,
      atMost: 60,
      unit: 's',
      why: WHY.recovers,
    })
  },
}

/** Connects until the server refuses, then terminates Mintmark's connections and takes those as well. */
async function takeAll(environment: Environment, postgres: Postgres) {
  const clients: pg.Client[] = []
  const take = async () => {
    const client = new pg.Client({ connectionString: postgres.applicationUrl(), application_name: 'others' })
    client.on('error', () => {})
    await client.connect()
    clients.push(client)
  }
  const release = async () => void (await Promise.all(clients.splice(0).map(client => client.end())))
  environment.onEnd(release)
  const takeUntilRefused = async () => {
    for (;;) {
      const refused = await take().catch(error => error)
      if (refused) return
    }
  }
  await takeUntilRefused()
  // The place of a connection that ends is free a moment after the connection has left this view.
  let [left, without] = [Number.NaN, 0]
  const deadline = now() + PATIENCE_MS
  while (without < LOOKS_WITHOUT && now() < deadline) {
    const terminated = await postgres.sql(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'mintmark%'",
    )
    await takeUntilRefused()
    left = terminated.length
    without = left === 0 ? without + 1 : 0
    await sleep(LOOK_AGAIN_MS)
  }
  return { held: clients.length, left, release }
}
