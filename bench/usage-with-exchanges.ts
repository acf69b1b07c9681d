import { setPriority } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { Environment, now } from '../test/faults/environment/environment.ts'
import { type Samples, streams } from '../test/faults/environment/load.ts'
import type { Postgres } from '../test/faults/environment/postgres.ts'
import type { Replica } from '../test/faults/environment/replica.ts'
import bundleSource from '../test/support/bundled-source.ts'
import { freePort } from '../test/support/free-port.ts'
import { type LockWaits, lockWaitsDuring } from './lock-waits.ts'
import { LOAD_CORE, moveTo, SERVER_CORE } from './process.ts'
import type { UsageLoad, UsageLoadResult } from './usage-load.ts'

/**
 * Measures exchanges while usage is reported, and tables, pruning and locks meanwhile:
 *
 *   npm run bench-usage-load                    2,000 records a second for ten minutes, 1,000 exchanges a second; 17 minutes in all
 *   npm run bench-usage-load -- --seconds 30    a trial run; also --records and --exchanges, a second
 *
 * Exchanges are sent all the time, every 2 ms as many as are due. In each round reports go to a receiver that does nothing, then three times as long to the same process,
 * and then to a process that has no exchanges. Two cores stand for the machines of an installation: one has the process whose exchanges
 * are measured, the other all else. In some rounds old records and totals are removed. The 99th percentile with reports should be at most
 * BAR times that without; other work on the machine can move it, so it is printed, by round too. Exits with 1 when a report or an exchange
 * failed, an exchange was not sent in time, a record was not counted once, or old rows were left.
 */
const BAR = 1.2
const MOST_ROUNDS = 10
const SECONDS_A_ROUND = 10
/** Old rows are removed in the first of so many rounds. In use a partition becomes old each hour. */
const ROUNDS_A_PRUNING = 5
const WARMING_SECONDS = 15
const CONNECTIONS = 32
const BATCH = 500
const TENANTS = 20
const KEYS = 5
const OLD_RECORDS = 100_000
const OLD_TOTALS = 20_000

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '600' },
    records: { type: 'string', default: '2000' },
    exchanges: { type: 'string', default: '1000' },
  },
})
const [seconds, records, exchanges] = [values.seconds, values.records, values.exchanges].map(Number) as [
  number,
  number,
  number,
]

interface Holder {
  tenant: string
  key: string
  secret: string
}

await bundleSource()
const environment = new Environment({ full: true })
try {
  await measure()
} finally {
  await environment.close()
}
process.exit()

async function measure(): Promise<void> {
  const isApart = moveTo(LOAD_CORE, process.pid)
  const postgres = await environment.postgres()
  const ports = [String(await freePort()), String(await freePort())] as const
  const [replica] = (await Promise.all(
    ports.map(port => environment.replica(postgres.applicationUrl(), { MINTMARK_OTLP_HTTP_PORT: port })),
  )) as [Replica, Replica]
  const hasCores = isApart && moveTo(SERVER_CORE, replica.process.pid)
  const { body: reporter } = await replica.change('/usage-reporters', { name: 'bench', audiences: ['vllm'] })
  await replica.admin('PUT', '/models/base', {})
  const holders = await makeHolders(replica)
  const load: Omit<UsageLoad, 'seconds'> = { secret: reporter.secret, holders, rate: records, batch: BATCH }
  const reported: UsageLoadResult = { sent: 0, failed: 0, ms: [] }
  const reportsTo = async (port: string, duration: number) => {
    const done = await report({ ...load, url: `http://127.0.0.1:${port}`, seconds: duration })
    reported.sent += done.sent
    reported.failed += done.failed
    reported.ms.push(...done.ms)
  }
  const count = Math.max(1, Math.min(MOST_ROUNDS, Math.floor(seconds / SECONDS_A_ROUND)))
  const rounds: Round[] = []
  const pruned: Pruned = { records: 0, partitions: 0, totals: 0, ms: [] }
  let waits: LockWaits = { looked: 0, pruning: 0, others: 0, longestMs: 0 }
  const before = await sizes(postgres)
  // What is compiled while it runs is compiled before the first round.
  const secrets = holders.map(({ secret }) => secret)
  const client = environment.load(
    streams.known([replica], secrets, { perSecond: exchanges, connections: CONNECTIONS }),
  )
  const isFirst = goFirst(client.pid)
  for (const port of ports) await reportsTo(port, WARMING_SECONDS)
  reported.ms.length = 0
  while (rounds.length < count) {
    const prunes = rounds.length % ROUNDS_A_PRUNING === 0
    if (prunes) {
      await fillOld(postgres, reporter.id)
      pruned.records += OLD_RECORDS
    }
    const part = seconds / count
    const without = await timesOf(() => report({ ...load, seconds: part / 3 }))
    const together = await timesOf(async () => {
      const during = await lockWaitsDuring(postgres.ownerUrl, /prune_usage/, () =>
        // While records of this hour and exchanges arrive, old ones are removed: before the job of the replica would do it.
        Promise.all([reportsTo(ports[0], part), prunes && prune(postgres, pruned)]),
      )
      waits = sumOf(waits, during)
    })
    const apart = await timesOf(() => reportsTo(ports[1], part / 3))
    rounds.push({ without, together, apart })
  }
  const exchanged = (await client.stop())('known')
  console.log(`
${hasCores ? `exchanges on core ${SERVER_CORE}, all else on ${LOAD_CORE}` : 'on any core'}; the client ${isFirst ? 'goes before others' : 'waits with others: run it as root'}`)
  printExchanges(rounds, exchanged, reported)
  const left = await oldRows(postgres)
  console.log(`
removed meanwhile: ${pruned.partitions} partitions with ${pruned.records} records, ${pruned.totals} totals; ${left} left
statements that remove: median ${at(pruned.ms, 0.5).toFixed(0)} ms, longest ${Math.max(...pruned.ms).toFixed(0)} ms
seen to wait for a lock, in ${waits.looked} looks: ${waits.pruning} times a statement that removes, ${waits.others} times another; longest ${waits.longestMs.toFixed(0)} ms`)
  const [counted] = await postgres.sql<{ requests: string }>(
    'SELECT sum(requests) AS requests FROM usage_totals WHERE reporter_id = $1 AND hour > $2',
    [reporter.id, new Date(Date.now() - 7_200_000)],
  )
  console.log(`counted: ${counted?.requests} of ${reported.sent}

| table | rows | before | after |
|---|---|---|---|`)
  for (const [index, { name, size, rows }] of (await sizes(postgres)).entries())
    console.log(`| ${name} | ${Number(rows).toLocaleString('en-US')} | ${before[index]?.size} | ${size} |`)
  const isExact = Number(counted?.requests) === reported.sent
  const failed = exchanged.failing(200).count + exchanged.unsent + reported.failed
  process.exitCode = failed > 0 || !isExact || left > 0 ? 1 : 0
}

/** When a part of a round began and ended, in milliseconds since the epoch. */
type Times = readonly [from: number, to: number]

interface Round {
  /** Reports went to a receiver that does nothing. */
  without: Times
  together: Times
  /** Reports went to another process. */
  apart: Times
}

async function timesOf(work: () => Promise<unknown>): Promise<Times> {
  const from = now()
  await work()
  return [from, now()]
}

/** Its own waiting for a core is no time that a caller would see. False: it may not. */
function goFirst(pid: number): boolean {
  try {
    setPriority(pid, -10)
    return true
  } catch {
    return false
  }
}

interface Pruned {
  records: number
  partitions: number
  totals: number
  /** Of each statement. */
  ms: number[]
}

function printExchanges(rounds: readonly Round[], exchanged: Samples, reported: UsageLoadResult): void {
  const msIn = (times: Times) => exchanged.between(...times).all.map(({ ms }) => ms)
  const all = (of: keyof Round) => rounds.flatMap(round => msIn(round[of]))
  const [without, together, apart] = [all('without'), all('together'), all('apart')]
  const ratio = (times: readonly number[]) => (at(times, 0.99) / at(without, 0.99)).toFixed(2)
  const byRound = (of: keyof Round) => {
    const ratios = rounds.map(round => at(msIn(round[of]), 0.99) / at(msIn(round.without), 0.99))
    return `${ratios.map(each => each.toFixed(2)).join(', ')}; median ${at(ratios, 0.5).toFixed(2)}`
  }
  const row = (name: string, ms: readonly number[], digits: number) =>
    `| ${name} | ${at(ms, 0.5).toFixed(digits)} | ${at(ms, 0.99).toFixed(digits)} |`
  console.log(`
| | median ms | 99th percentile ms |
|---|---|---|
${row(`${exchanges} exchanges a second`, without, 2)}
${row(`the same, with ${records} records a second to the same process`, together, 2)}
${row(`the same, with ${records} records a second to another process`, apart, 2)}
${row(`reports of ${BATCH} records, until they are counted`, reported.ms, 0)}

the 99th percentile with reports to the same process is ${ratio(together)} times that without (at most ${BAR} is wanted)
by round: ${byRound('together')}
with reports to another process it is ${ratio(apart)} times
by round: ${byRound('apart')}
${reported.sent + reported.failed} records, ${reported.failed} failed; ${exchanged.count} exchanges, ${exchanged.failing(200).count} failed, ${exchanged.unsent} not sent for want of time`)
}

function sumOf(a: LockWaits, b: LockWaits): LockWaits {
  return {
    looked: a.looked + b.looked,
    pruning: a.pruning + b.pruning,
    others: a.others + b.others,
    longestMs: Math.max(a.longestMs, b.longestMs),
  }
}

async function makeHolders(replica: Replica): Promise<Holder[]> {
  const holders: Holder[] = []
  for (let number = 1; number <= TENANTS; number++) {
    const tenant = `tenant-${number}`
    await replica.change('/tenants', { id: tenant, audiences: ['vllm'], models: ['base'] })
    for (let key = 0; key < KEYS; key++) {
      const { body } = await replica.change(`/tenants/${tenant}/keys`, {})
      holders.push({ tenant, key: body.id, secret: body.secret })
    }
  }
  return holders
}

/** Records of hours that are over, and totals that are too old. */
async function fillOld(postgres: Postgres, reporter: string): Promise<void> {
  await postgres.sql(
    `INSERT INTO usage_records SELECT floor(extract(epoch FROM hour) / 3600)::bigint % 32, hour, $1, sha256((clock_timestamp()::text || number)::bytea),
       hour, hour, 'tenant-1', '', '', false, false, 1, 0, 1
     FROM generate_series(1, $2::int) AS number,
       LATERAL (SELECT date_trunc('hour', now(), 'UTC') - (5 + number % 10) * interval '1 hour' AS hour) AS h`,
    [reporter, OLD_RECORDS],
  )
  await postgres.sql(
    `INSERT INTO usage_totals (hour, tenant_id, key_id, model, reporter_id, labels, requests)
     SELECT date_trunc('hour', now(), 'UTC') - interval '500 days', 'tenant-' || number, '', '', $1, '{}', 1
     FROM generate_series(1, $2::int) AS number`,
    [reporter, OLD_TOTALS],
  )
}

/** As the background job does. */
async function prune(postgres: Postgres, pruned: Pruned): Promise<void> {
  await sleep(1_000)
  const timed = async (statement: string) => {
    const begun = performance.now()
    const [row] = await postgres.sql<{ pruned: string }>(statement)
    pruned.ms.push(performance.now() - begun)
    return Number(row?.pruned)
  }
  pruned.partitions += await timed("SELECT prune_usage_records(interval '2 hours') AS pruned")
  for (;;) {
    const totals = await timed("SELECT prune_usage_totals(interval '400 days') AS pruned")
    if (totals === 0) return
    pruned.totals += totals
  }
}

/** Records and totals of fillOld. */
async function oldRows(postgres: Postgres): Promise<number> {
  const [row] = await postgres.sql<{ count: string }>(
    `SELECT (SELECT count(*) FROM usage_records WHERE booked < now() - interval '4 hours')
       + (SELECT count(*) FROM usage_totals WHERE hour < now() - interval '450 days') AS count`,
  )
  return Number(row?.count)
}

function report(load: UsageLoad): Promise<UsageLoadResult> {
  const worker = new Worker(new URL('usage-load.ts', import.meta.url), { workerData: load })
  return new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
}

function sizes(postgres: Postgres) {
  return postgres.sql<{ name: string; size: string; rows: string }>(
    `SELECT 'usage_records' AS name, pg_size_pretty(sum(pg_total_relation_size(inhrelid))) AS size, (SELECT count(*) FROM usage_records) AS rows
     FROM pg_inherits WHERE inhparent = 'usage_records'::regclass
     UNION ALL SELECT 'usage_totals', pg_size_pretty(pg_total_relation_size('usage_totals')), (SELECT count(*) FROM usage_totals)`,
  )
}

function at(times: readonly number[], share: number): number {
  const sorted = times.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}
