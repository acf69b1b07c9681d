import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { Environment } from '../test/faults/environment/environment.ts'
import type { Postgres } from '../test/faults/environment/postgres.ts'
import { exchangeForm, FORM_HEADERS, type Replica } from '../test/faults/environment/replica.ts'
import bundleSource from '../test/support/bundled-source.ts'
import { freePort } from '../test/support/free-port.ts'
import type { UsageLoad, UsageLoadResult } from './usage-load.ts'

/**
 * Measures exchanges while usage is reported, and tables and pruning meanwhile:
 *
 *   npm run bench-usage-load                    2,000 records and 1,000 exchanges a second, ten minutes of each
 *   npm run bench-usage-load -- --seconds 20    a trial run; also --records and --exchanges, a second
 *
 * Exchanges are measured alone and with reports in turn, in ROUNDS parts. Exits with 1 when their 99th percentile with reports is
 * more than BAR times that of exchanges alone, or when anything failed.
 */
const BAR = 1.2
const ROUNDS = 4
const BATCH = 500
const CONNECTIONS = 32
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
  const postgres = await environment.postgres()
  const port = String(await freePort())
  const replica = await environment.replica(postgres.applicationUrl(), { MINTMARK_OTLP_HTTP_PORT: port })
  const { body: reporter } = await replica.change('/usage-reporters', { name: 'bench', audiences: ['vllm'] })
  await replica.admin('PUT', '/models/base', {})
  const holders = await makeHolders(replica)
  await fillOld(postgres, reporter.id)
  const load = {
    url: `http://127.0.0.1:${port}`,
    secret: reporter.secret,
    holders,
    rate: records,
    batch: BATCH,
  }
  const [alone, beside]: [number[], number[]] = [[], []]
  const reported: UsageLoadResult = { sent: 0, failed: 0, ms: [] }
  const pruned = { partitions: 0, totals: 0, ms: [] as number[] }
  let failed = 0
  for (let round = 0; round < ROUNDS; round++) {
    const part = seconds / ROUNDS
    failed += await exchangesFor(replica, holders, part, alone)
    const reports = report({ ...load, seconds: part })
    // While records of this hour and exchanges arrive, old ones are removed: before the job of the replica would do it.
    const pruning = round === 0 ? prune(postgres, pruned) : undefined
    failed += await exchangesFor(replica, holders, part, beside)
    const done = await reports
    await pruning
    reported.sent += done.sent
    reported.failed += done.failed
    reported.ms.push(...done.ms)
  }
  const [before, after] = [at(alone, 0.99), at(beside, 0.99)]
  console.log(`
| | median ms | 99th percentile ms |
|---|---|---|
| ${exchanges} exchanges a second | ${at(alone, 0.5).toFixed(2)} | ${before.toFixed(2)} |
| the same beside ${records} records a second | ${at(beside, 0.5).toFixed(2)} | ${after.toFixed(2)} |
| reports of ${BATCH} records, until they are counted | ${at(reported.ms, 0.5).toFixed(0)} | ${at(reported.ms, 0.99).toFixed(0)} |

${(after / before).toFixed(2)} times the 99th percentile; ${reported.sent} records, ${reported.failed} failed; ${failed} exchanges failed
pruned meanwhile: ${pruned.partitions} partitions with ${OLD_RECORDS} records, ${pruned.totals} totals; the longest statement took ${Math.max(...pruned.ms).toFixed(0)} ms`)
  const [counted] = await postgres.sql<{ requests: string }>(
    'SELECT sum(requests) AS requests FROM usage_totals WHERE reporter_id = $1 AND hour > $2',
    [reporter.id, new Date(Date.now() - 7_200_000)],
  )
  console.log(`counted: ${counted?.requests}`)
  for (const { name, size, rows } of await sizes(postgres)) console.log(`${name}: ${size}, ${rows} rows`)
  const isExact = Number(counted?.requests) === reported.sent
  process.exitCode = after / before > BAR || failed + reported.failed > 0 || !isExact ? 1 : 0
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
    `INSERT INTO usage_records SELECT floor(extract(epoch FROM hour) / 3600)::bigint % 32, hour, $1, sha256(number::text::bytea),
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
async function prune(
  postgres: Postgres,
  pruned: { partitions: number; totals: number; ms: number[] },
): Promise<void> {
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

function report(load: UsageLoad): Promise<UsageLoadResult> {
  const worker = new Worker(new URL('usage-load.ts', import.meta.url), { workerData: load })
  return new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
}

/** At a steady rate; durations from the moment at which each was due. Returns how many failed. */
async function exchangesFor(
  replica: Replica,
  holders: readonly Holder[],
  duration: number,
  took: number[],
): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS })
  const begun = performance.now()
  const underWay = new Set<Promise<void>>()
  let failed = 0
  for (let number = 0; number < exchanges * duration; number++) {
    const due = begun + (number * 1000) / exchanges
    if (due > performance.now()) await sleep(due - performance.now())
    const { secret } = holders[number % holders.length] as Holder
    const one = exchange(agent, `${replica.urls.public}/oauth/token`, secret).then(status => {
      took.push(performance.now() - due)
      if (status !== 200) failed++
    })
    underWay.add(one)
    void one.finally(() => underWay.delete(one))
  }
  await Promise.all(underWay)
  agent.destroy()
  return failed
}

function exchange(agent: Agent, url: string, secret: string): Promise<number> {
  const body = exchangeForm(secret)
  const headers = { ...FORM_HEADERS, 'content-length': Buffer.byteLength(body) }
  return new Promise(resolve => {
    const sent = request(url, { method: 'POST', headers, agent }, answer => {
      answer.resume()
      answer.once('end', () => resolve(answer.statusCode ?? 0))
    })
    sent.once('error', () => resolve(0))
    sent.end(body)
  })
}

const sizes = (postgres: Postgres) =>
  postgres.sql<{ name: string; size: string; rows: string }>(
    `SELECT 'usage_records' AS name, pg_size_pretty(sum(pg_total_relation_size(inhrelid))) AS size, (SELECT count(*) FROM usage_records) AS rows
     FROM pg_inherits WHERE inhparent = 'usage_records'::regclass
     UNION ALL SELECT 'usage_totals', pg_size_pretty(pg_total_relation_size('usage_totals')), (SELECT count(*) FROM usage_totals)`,
  )

function at(times: readonly number[], share: number): number {
  const sorted = times.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}
