import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../../support/until.ts'
import { type Environment, now, PATIENCE_MS } from './environment.ts'
import { fillKeys, TENANT } from './known-keys.ts'
import { Ledger } from './ledger.ts'
import { type Samples, streams } from './load.ts'
import type { Postgres } from './postgres.ts'
import type { Replica } from './replica.ts'
import { unknownKey } from './replica.ts'
import { type Report, WHY } from './report.ts'
import { socketsTo } from './sockets.ts'

const KEYS = 1_000
const EXCHANGES_PER_SECOND = 500
/** The traffic of this time is compared. */
const USUAL_MS = 3_000
/** Requests in progress when the database failed may have either result. */
const EDGE_MS = 1_000
const PROBE_MS = 100
/** Minimum number of acknowledged changes before the outage. */
const CHANGES = 5
/** MINTMARK_DATABASE_MAX_CONNECTIONS, unless set otherwise. */
const POOL = 10

/** How the database fails, and how it recovers. `end` returns once it answers others again. */
export interface Fault {
  postgres: Postgres
  /** For Mintmark. */
  url: string
  begin(): unknown
  end(): unknown
}

interface Watch {
  /** The maximum number of sockets to the database at once. */
  most: number
  /** Milliseconds until the last socket from before the outage was closed. */
  deadForMs: number
}

/** Sends known keys under load, and all other requests, from before the outage until after it. */
export async function measureOutage(
  environment: Environment,
  { postgres, url, begin, end }: Fault,
): Promise<void> {
  const keys = await fillKeys(postgres, KEYS)
  const replica = await environment.replica(url)
  const port = Number(new URL(url).port)
  const ledger = new Ledger(replica, { perSecond: 5 })
  const few = { perSecond: 5, connections: 20, connected: true }
  const load = environment.load(
    streams.known(
      [replica],
      keys.map(({ secret }) => secret),
      { perSecond: environment.rate(EXCHANGES_PER_SECOND), connections: 50, connected: true },
    ),
    streams.unknown([replica], few),
    streams.jwks([replica], few),
    streams.ready([replica], few),
    streams.adminReads([replica], few),
  )
  ledger.start()
  await until('some changes are acknowledged', () => ledger.acknowledged >= CHANGES, Boolean, 3 * PATIENCE_MS)
  const usual = await trafficOf(postgres, USUAL_MS)
  const wentAt = now()
  const before = socketsTo(replica.process.pid, port)
  await begin()
  const [watch, refused] = await Promise.all([
    watchSockets(replica, port, before, environment.outageMs),
    refusals(replica),
  ])
  const endsAt = now()
  await end()
  const [recoveredMs, after] = await Promise.all([recovery(replica), trafficOf(postgres, USUAL_MS)])
  const written = await ledger.stop()
  const answered = await load.stop()
  const away = (samples: Samples) => samples.within(wentAt + EDGE_MS, endsAt)

  reportKnown(environment.report, answered('known'))
  reportWithoutDatabase(environment.report, { jwks: answered('jwks'), ready: answered('ready') })
  environment.report.invariant(REFUSED, refused, { exactly: 3, why: WHY.honest })
  reportRefusals(environment.report, 'unknown keys', away(answered('unknown')))
  reportRefusals(environment.report, 'admin reads', away(answered('adminReads')))
  reportRefusals(environment.report, 'admin writes', away(written))
  const slowest = ['unknown', 'adminReads'].map(name => answered(name).quantile(1))
  environment.report.measurement('longest wait on the database', Math.max(written.quantile(1), ...slowest), {
    atMost: 1_000,
    unit: 'ms',
  })
  // A timed-out statement is cancelled over a separate connection, for half a second.
  const { report } = environment
  report.promise('sockets to the database, the most', watch.most, {
    usually: 2 * POOL,
    atMost: 5 * POOL,
    unit: '',
    why: WHY.bounded,
  })
  report.promise('the last dead socket was given up after', watch.deadForMs / 1000, {
    usually: 6,
    atMost: 10,
    unit: 's',
    why: WHY.recovers,
  })
  report.promise('everything is answered again after', recoveredMs / 1000, {
    usually: 5,
    atMost: 60,
    unit: 's',
    why: WHY.recovers,
  })
  report.note('statements in 3 s before the outage', usual.statements)
  report.measurement('statements in 3 s after it, to those before', after.statements / usual.statements, {
    atMost: 2,
  })
  report.promise('connections made in 3 s after it', after.connections, {
    usually: 2 * POOL,
    atMost: 5 * POOL,
    unit: '',
    why: WHY.bounded,
  })
  report.invariant('connections once it is quiet', await settled(replica, port), {
    atMost: POOL,
    why: WHY.bounded,
  })
  // Behind a partition it does not notice that a connection was closed.
  report.promise('connections that Postgres takes for open', await connectionsOf(postgres), {
    usually: 2 * POOL,
    atMost: 5 * POOL,
    unit: '',
    why: WHY.bounded,
  })
  report.invariant('acknowledged changes', ledger.acknowledged, {
    atLeast: CHANGES,
    why: WHY.carriedOut,
  })
  report.invariant('acknowledged changes that are lost', (await ledger.lost(replica)).length, {
    exactly: 0,
    why: WHY.nothingLost,
  })
  report.holds('the process is the same', replica.process.child.exitCode === null, WHY.recovers)
}

function reportKnown(report: Report, known: Samples): void {
  reportExchanges(report, known, { atLeast: 100, p99: 50, slowest: 1_000 })
}

/** Reports failures and durations: `p99` and `slowest` are the usual bounds, in milliseconds. */
export function reportExchanges(
  report: Report,
  known: Samples,
  bounds: { atLeast: number; p99?: number; slowest?: number },
): void {
  const name = 'exchanges of known keys'
  report.invariant(name, known.count, { atLeast: bounds.atLeast, why: WHY.carriedOut })
  report.invariant(`${name} that failed`, known.failing(200).count, { exactly: 0, why: WHY.knownKeys })
  if (known.failing(200).count > 0) report.note(`${name}, by status`, known.statuses)
  report.measurement(`${name} left unsent, or unread, for want of time`, known.unsent, { exactly: 0 })
  const [p99, slowest] = [known.quantile(0.99), known.quantile(1)]
  if (bounds.p99 !== undefined)
    report.measurement(`${name}, 99th percentile`, p99, { atMost: bounds.p99, unit: 'ms' })
  if (bounds.slowest !== undefined)
    report.measurement(`${name}, the slowest`, slowest, { atMost: bounds.slowest, unit: 'ms' })
}

function reportWithoutDatabase(report: Report, { jwks, ready }: { jwks: Samples; ready: Samples }): void {
  report.invariant('JWKS fetches that failed', jwks.failing(200).count, { exactly: 0, why: WHY.knownKeys })
  report.invariant('/readyz other than 200', ready.failing(200).count, { exactly: 0, why: WHY.knownKeys })
}

export const REFUSED =
  'of a lookup, an admin read and a write in the outage, those that are 503 with Retry-After'

/** How many of a lookup, an admin read and a write are 503 with Retry-After, as required while Postgres is down. */
export async function refusals(replica: Replica): Promise<number> {
  const answers = await Promise.all([
    replica.exchange(unknownKey()),
    replica.admin('GET', '/tenants'),
    replica.admin('POST', `/tenants/${TENANT}/keys`, {}),
  ])
  return answers.filter(({ status, headers }) => status === 503 && headers['retry-after']).length
}

/** All 503 with Retry-After, usually within a second. One that takes 30 s counts as not answered. */
export function reportRefusals(report: Report, what: string, samples: Samples): void {
  report.note(`${what} in the outage`, samples.count)
  report.invariant(`${what} in the outage other than 503 with Retry-After`, samples.wrong().count, {
    exactly: 0,
    why: WHY.honest,
  })
  report.measurement(`${what} in the outage, the slowest`, samples.quantile(1), {
    atMost: 1_000,
    unit: 'ms',
  })
}

/** Milliseconds from now until a lookup, an admin read and a write succeed. */
async function recovery(replica: Replica): Promise<number> {
  const begun = now()
  const asked = [
    async () => (await replica.exchange(unknownKey())).status === 401,
    async () => (await replica.admin('GET', '/tenants')).status === 200,
    async () => (await replica.admin('POST', `/tenants/${TENANT}/keys`, {})).status === 201,
  ]
  const spans = asked.map(async works => {
    while (now() - begun < PATIENCE_MS) {
      if (await works()) return now() - begun
      await sleep(PROBE_MS)
    }
    return Number.POSITIVE_INFINITY
  })
  return Math.max(...(await Promise.all(spans)))
}

/** The number of connections once it is within the pool's limit, or after 15 s. */
async function settled(replica: Replica, port: number): Promise<number> {
  const count = () => socketsTo(replica.process.pid, port).size
  return until('it is quiet', count, connections => connections <= POOL, 15_000).catch(count)
}

async function watchSockets(replica: Replica, port: number, before: Set<number>, ms: number): Promise<Watch> {
  const begun = now()
  const watch: Watch = { most: before.size, deadForMs: Number.NaN }
  while (now() - begun < ms) {
    const sockets = socketsTo(replica.process.pid, port)
    watch.most = Math.max(watch.most, sockets.size)
    const left = [...before].some(local => sockets.has(local))
    if (!left && Number.isNaN(watch.deadForMs)) watch.deadForMs = now() - begun
    await sleep(100)
  }
  return watch
}

/** Mintmark's statements and connections during this many milliseconds. */
export async function trafficOf(postgres: Postgres, ms: number) {
  const counted = async () => {
    const [row] = await postgres.sql<{ statements: number; connections: number }>(`SELECT
      (SELECT coalesce(sum(calls), 0)::int FROM pg_stat_statements AS s JOIN pg_roles AS r ON r.oid = s.userid
        WHERE r.rolname = 'mintmark') AS statements,
      (SELECT sessions::int FROM pg_stat_database WHERE datname = current_database()) AS connections`)
    return row ?? { statements: 0, connections: 0 }
  }
  const begin = await counted()
  await sleep(ms)
  const end = await counted()
  // One of the connections is that of the second count.
  return { statements: end.statements - begin.statements, connections: end.connections - begin.connections }
}

export async function connectionsOf(postgres: Postgres): Promise<number> {
  const [row] = await postgres.sql<{ count: number }>(
    "SELECT count(*)::int AS count FROM pg_stat_activity WHERE usename = 'mintmark'",
  )
  return row?.count ?? 0
}
