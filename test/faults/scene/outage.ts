import { setTimeout as sleep } from 'node:timers/promises'
import { fillKeys } from './known-keys.ts'
import { Ledger } from './ledger.ts'
import { type Samples, streams } from './load.ts'
import type { Postgres } from './postgres.ts'
import type { Replica } from './replica.ts'
import type { Report } from './report.ts'
import { now, type Scene } from './scene.ts'
import { socketsTo } from './sockets.ts'

const KEYS = 1_000
const EXCHANGES_PER_SECOND = 500
const USUAL_MS = 5_000
/** What was under way when the database went or came back may be answered either way. */
const EDGE_MS = 1_000
/** MINTMARK_DATABASE_MAX_CONNECTIONS, unless set otherwise. */
const POOL = 10

/** How the database goes away, and how it comes back. `end` returns once it answers others again. */
export interface Fault {
  postgres: Postgres
  /** As Mintmark reaches it. */
  url: string
  begin(): unknown
  end(): unknown
}

interface Watch {
  /** The most sockets to the database that the process had at once. */
  most: number
  /** Milliseconds until the last socket from before the outage was given up. */
  deadForMs: number
}

/** Known keys under load, and all other doors, from before the database goes away until after it is back. */
export async function measureOutage(scene: Scene, { postgres, url, begin, end }: Fault): Promise<void> {
  const keys = await fillKeys(postgres, KEYS)
  const replica = await scene.replica(url)
  const port = Number(new URL(url).port)
  const ledger = new Ledger(replica, { perSecond: 5 })
  const few = { perSecond: 5, connections: 20 }
  const load = scene.load(
    streams.known(
      [replica],
      keys.map(({ secret }) => secret),
      { perSecond: EXCHANGES_PER_SECOND, connections: 50 },
    ),
    streams.unknown([replica], few),
    streams.jwks([replica], few),
    streams.ready([replica], few),
    streams.adminReads([replica], few),
  )
  ledger.start()
  await sleep(1_000)
  const usual = await trafficOf(postgres, USUAL_MS)
  const wentAt = now()
  const before = socketsTo(replica.process.pid, port)
  await begin()
  const watch = await watchSockets(replica, port, before, scene.outageMs)
  await end()
  const backAt = now()
  const after = await trafficOf(postgres, USUAL_MS)
  const written = await ledger.stop()
  const answered = await load.stop()
  const away = (samples: Samples) => samples.between(wentAt + EDGE_MS, backAt - EDGE_MS)

  reportKnown(scene.report, answered('known'))
  reportOpenDoors(scene.report, { jwks: answered('jwks'), ready: answered('ready') })
  reportRefusals(scene.report, 'unknown keys', away(answered('unknown')))
  reportRefusals(scene.report, 'admin reads', away(answered('adminReads')))
  reportRefusals(scene.report, 'admin writes', away(written))
  const slowest = ['unknown', 'adminReads'].map(name => answered(name).quantile(1))
  scene.report.check(
    'longest wait on the database',
    Math.max(written.quantile(1), ...slowest),
    { atMost: 1_000 },
    'ms',
  )
  scene.report.check('refused as 401 that were never looked up', refusedUnseen(away(answered('unknown'))), {
    exactly: 0,
  })
  // Who gives a statement up says so over a connection of its own, for half a second.
  scene.report.check('sockets to the database, at the most', watch.most, { atMost: 2 * POOL })
  scene.report.check('the last dead socket was given up after', watch.deadForMs / 1000, { atMost: 10 }, 's')
  const backs = [
    worksFrom(answered('unknown'), 401, backAt),
    worksFrom(answered('adminReads'), 200, backAt),
    worksFrom(written, 201, backAt),
  ]
  scene.report.check('all doors open again after', Math.max(...backs) / 1000, { atMost: 5 }, 's')
  scene.report.note('statements in 5 s before the outage', usual.statements)
  scene.report.check('statements in 5 s after it', after.statements, { atMost: 2 * usual.statements })
  scene.report.check('connections made in 5 s after it', after.connections, { atMost: 2 * POOL })
  scene.report.check('connections afterwards', socketsTo(replica.process.pid, port).size, { atMost: POOL })
  // Behind a partition it does not hear that a connection was given up.
  scene.report.check('connections that Postgres takes for open', await connectionsOf(postgres), {
    atMost: 2 * POOL,
  })
  scene.report.check('acknowledged changes', ledger.acknowledged, { atLeast: 10 })
  scene.report.check('of them lost', (await ledger.lost(replica)).length, { exactly: 0 })
  scene.report.holds('the process is the same', replica.process.child.exitCode === null)
}

function reportKnown(report: Report, known: Samples): void {
  report.check('exchanges of known keys', known.count, { atLeast: 1_000 })
  report.check('of them failed', known.failing(200).count, { exactly: 0 })
  report.checkPercentile('their 99th percentile', known.quantile(0.99), 50)
  report.check('the slowest', known.quantile(1), { atMost: 1_000 }, 'ms')
}

function reportOpenDoors(report: Report, doors: { jwks: Samples; ready: Samples }): void {
  report.check('JWKS fetches that failed', doors.jwks.failing(200).count, { exactly: 0 })
  report.check('/readyz other than 200', doors.ready.failing(200).count, { exactly: 0 })
}

/** All 503 with Retry-After, within a second. */
export function reportRefusals(report: Report, what: string, samples: Samples): void {
  const right = samples.all.filter(({ status, retryAfter }) => status === 503 && retryAfter).length
  report.check(`${what} in the outage that were 503 with Retry-After`, right, { exactly: samples.count })
  report.check(`${what} in the outage, the slowest`, samples.quantile(1), { atMost: 1_000 }, 'ms')
}

const refusedUnseen = (samples: Samples) => samples.all.filter(({ status }) => status === 401).length

/** Milliseconds from `instant` until what was asked for is answered as it should be. */
function worksFrom(samples: Samples, status: number, instant: number): number {
  const first = samples.all.find(sample => sample.status === status && sample.at + sample.ms > instant)
  return first ? first.at + first.ms - instant : Number.NaN
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

/** What Mintmark asks of the server, and how often it connects, in so many milliseconds from now. */
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
