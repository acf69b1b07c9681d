import { setTimeout as sleep } from 'node:timers/promises'
import { scrape } from '../observability/metrics-text.ts'
import { diskOutput, type FailingOutput, lacksDisks, pipeOutput } from '../support/log-output.ts'
import { until } from '../support/until.ts'
import { type Environment, type Experiment, now, PATIENCE_MS } from './environment/environment.ts'
import { fillKeys } from './environment/known-keys.ts'
import { streams } from './environment/load.ts'
import { reportExchanges } from './environment/outage.ts'
import type { Postgres } from './environment/postgres.ts'
import { type Replica, residentBytes } from './environment/replica.ts'
import { WHY } from './environment/report.ts'

const SHORT_MS = 4_000
const AT_A_TIME = 20
const MIB = 1_048_576

const WAYS: readonly [way: string, make: () => FailingOutput][] = [
  ['stalled', () => pipeOutput('stalled')],
  ['gone', () => pipeOutput('gone')],
  ['full', diskOutput],
]

/** The log of one replica fails, as a pipe and as a disk do, next to a replica whose log works; both have load. */
export const experiment: Experiment = {
  id: 'F29',
  title: 'A log that stalls, whose reader is gone, whose disk is full',
  run: async environment => {
    const postgres = await environment.postgres()
    const keys = await fillKeys(postgres, 1_000)
    const secrets = keys.map(({ secret }) => secret)
    const other = await environment.replica(postgres.applicationUrl())
    for (const [way, make] of WAYS) {
      const lacks = way === 'full' ? lacksDisks() : undefined
      if (lacks) environment.report.note('a full disk was not tried', lacks)
      else await measure(environment, { way, output: make(), postgres, secrets, other })
    }
  },
}

async function measure(
  environment: Environment,
  tried: { way: string; output: FailingOutput; postgres: Postgres; secrets: string[]; other: Replica },
): Promise<void> {
  const { report } = environment
  const { way, output, postgres, secrets, other } = tried
  environment.onEnd(() => output.remove())
  const replica = await environment.replica(postgres.applicationUrl(), {}, output)
  const rate = { perSecond: environment.rate(500), connections: 50 }
  const load = environment.load(
    streams.known([replica], secrets, rate),
    { ...streams.known([other], secrets, rate), name: 'other' },
    streams.jwks([replica], { perSecond: 5, connections: 5 }),
    streams.ready([replica], { perSecond: 5, connections: 5 }),
  )
  await until('it has work', () => replica.process.logged('request').length > 100, Boolean, PATIENCE_MS)
  const before = residentBytes(replica)
  const from = now()
  output.fail()
  const filler = await dropLines(replica)
  const full = now()
  let most = residentBytes(replica)
  while (now() - full < (environment.full ? environment.outageMs : SHORT_MS)) {
    most = Math.max(most, residentBytes(replica))
    await sleep(100)
  }
  const to = now()
  output.recover()
  const reports = () => replica.process.logged('log lines were dropped')
  await until('the loss is reported', () => reports().length > 0, Boolean, PATIENCE_MS)
  const answered = await load.stop()
  const known = answered('known')
  const lost = await dropped(replica)
  const written = () => replica.process.logged('request').length
  const sent = known.count + filler
  await until('all is written', () => written() + lost >= sent, Boolean, PATIENCE_MS).catch(() => {})

  report.note(
    `${way}: 99th percentile of the other replica`,
    answered('other').between(from, to).quantile(0.99),
    'ms',
  )
  reportExchanges(report, known.between(from, to), { atLeast: 100, p99: 50, slowest: 100 })
  report.invariant(
    'exchanges of known keys at the other replica that failed',
    answered('other').failing(200).count,
    {
      exactly: 0,
      why: WHY.knownKeys,
    },
  )
  const asked = answered('jwks').failing(200).count + answered('ready').failing(200).count
  report.invariant('JWKS fetches and /readyz that failed', asked, { exactly: 0, why: WHY.knownKeys })
  report.invariant('lines dropped', lost, { atLeast: 1, why: WHY.carriedOut })
  // On a busy machine there are lines of other things too, as of a pause; among those dropped they are counted here.
  const missing = 'lines of requests that were neither written nor counted as dropped'
  report.invariant(missing, sent - written() - lost, { atMost: 0, why: WHY.said })
  report.measurement(missing, sent - written() - lost, { exactly: 0 })
  const reportedSoFar = () => reports().reduce((sum, line) => sum + Number(line.lines), 0)
  const isAll = (lines: number) => lines >= lost
  const reported = await until('all of it is reported', reportedSoFar, isAll, PATIENCE_MS).catch(
    reportedSoFar,
  )
  report.invariant('lines dropped that no line reports', lost - reported, { exactly: 0, why: WHY.said })
  report.promise('memory that it took', (most - before) / MIB, {
    usually: 50,
    atMost: 200,
    unit: 'MiB',
    why: WHY.bounded,
  })
  await replica.process.kill()
}

/** Fills what the destination and the process keep, with requests that cost less than exchanges; returns how many. */
async function dropLines(replica: Replica): Promise<number> {
  const nothing = `${replica.urls.public}/nothing`
  let sent = 0
  const deadline = now() + PATIENCE_MS
  while ((await dropped(replica)) === 0) {
    if (now() > deadline) throw new Error('no line was dropped')
    await Promise.all(Array.from({ length: AT_A_TIME }, () => replica.get(nothing)))
    sent += AT_A_TIME
  }
  return sent
}

const dropped = async (replica: Replica): Promise<number> =>
  (await scrape(replica.urls.ops)).series.get('mintmark_log_lines_dropped_total') ?? Number.NaN
