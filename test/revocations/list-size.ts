import type { Environment } from '../faults/environment/environment.ts'
import { cpuMs } from '../faults/environment/replica.ts'
import { Load, summed } from './load.ts'
import { quantile, refusedAfter, revoke, type Setting, startSetting } from './setting.ts'

const ROUNDS = 5
const SECONDS = 3
const LONGEST_MS = 120_000

interface Measured {
  p50Ms: number
  p99Ms: number
  cpuMs: number
}

interface Row {
  entries: number
  setting: Setting
  refusedMs: number
  found: Measured[]
}

/**
 * Latency of requests and CPU time of Envoy with lists of these sizes, each on a Mintmark and an Envoy of its own, which take
 * turns: what else the machine does meets all of them alike.
 */
export async function printListSizes(environment: Environment, sizes: readonly number[]): Promise<void> {
  const rows: Row[] = []
  for (const entries of sizes) rows.push(await prepare(environment, entries))
  for (let round = 0; round < ROUNDS; round++)
    for (const row of rows) row.found.push(await measure(row.setting))
  console.log(`
  One connection, one request after the other; the median of ${ROUNDS} rounds of ${SECONDS} s, in turn.

  entries   p50 ms   p99 ms   CPU of Envoy, µs a request   a revocation is refused after ms`)
  for (const row of rows) console.log(lineOf(row))
}

async function prepare(environment: Environment, entries: number): Promise<Row> {
  const setting = await startSetting(environment, postgres =>
    postgres.sql(
      `INSERT INTO token_revocations (claim, value, ends_at)
       SELECT 'jti', substr(translate(encode(sha256(n::text::bytea), 'base64'), '+/', '-_'), 1, 22), now() + interval '5 hours'
       FROM generate_series(1, $1::int) AS n`,
      [entries],
    ),
  )
  await setting.second.stop()
  // The refusal of the first one shows that Envoy has the whole list.
  await refusal(setting)
  return { entries, setting, refusedMs: await refusal(setting), found: [] }
}

async function refusal(setting: Setting): Promise<number> {
  const mine = await setting.credential()
  await revoke(setting, mine)
  return refusedAfter(setting.first, mine.token, performance.now(), LONGEST_MS)
}

/** @throws {Error} when a request was not answered with 200: that would be another measurement. */
async function measure({ first, credential }: Setting): Promise<Measured> {
  const { token } = await credential()
  const before = cpuMs(first.pid ?? 0)
  const load = new Load({ url: first.url, tokens: [token], connections: 1, seconds: SECONDS })
  const answered = await load.ended
  const { requests, others } = summed([answered])
  if (Object.keys(others).length > 0) throw new Error(`requests got ${JSON.stringify(others)}`)
  const { p50Ms, p99Ms } = answered
  return { p50Ms, p99Ms, cpuMs: (cpuMs(first.pid ?? 0) - before) / requests }
}

function lineOf({ entries, refusedMs, found }: Row): string {
  const median = (of: (measured: Measured) => number) => quantile(found.map(of), 0.5)
  return [
    String(entries).padStart(9),
    median(({ p50Ms }) => p50Ms)
      .toFixed(2)
      .padStart(8),
    median(({ p99Ms }) => p99Ms)
      .toFixed(2)
      .padStart(8),
    (median(each => each.cpuMs) * 1_000).toFixed(0).padStart(28),
    refusedMs.toFixed(0).padStart(34),
  ].join(' ')
}
