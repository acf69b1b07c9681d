import { fork } from 'node:child_process'
import { once } from 'node:events'
import { type ClientHttp2Session, connect } from 'node:http2'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../support/until.ts'
import { CHECK_PATH, GRPC_HEADERS, honestCheck } from './environment/check-requests.ts'
import { type Experiment, PATIENCE_MS } from './environment/environment.ts'
import { fillKeys } from './environment/known-keys.ts'
import { type Replica, residentBytes } from './environment/replica.ts'
import { WHY } from './environment/report.ts'

/** Of environment/gateway-attacks.ts, over gRPC and over HTTP. */
const ATTACKS = [
  'messages one byte short',
  'whole messages without an end',
  'headers without a message',
  'half a prefix',
  'answers that are not read',
  'streams that are reset',
  'calls over many connections',
  'watches',
  '65,000 empty headers in a message',
  'compressed messages',
  'large header blocks',
  'absurd timeouts',
  'pings',
  'settings',
  'priorities',
  'continuations',
  'bodies without a credential',
  'bodies with an unknown key',
  'long names with a good key',
  'slow bodies with a good key',
]
const SHORT_MS = 1_500
const FULL_MS = 20_000
/** Of honest checks over each of the two transports: 100 a second together. */
const EVERY_MS = 20
const WATCH_MS = 100
const MEBIBYTE = 1024 * 1024
/** What one listener holds at most, for both, and as much again that is not collected yet. */
const MOST_HELD_MEBIBYTES = 768

/** Each attack on `/check` and on the gRPC listener, during 100 honest checks a second, with bodies read. */
export const experiment: Experiment = {
  id: 'F32',
  title: 'Attacks on the gateway listeners during honest checks',
  run: async environment => {
    const { report } = environment
    const postgres = await environment.postgres()
    const [key] = await fillKeys(postgres, 1)
    const secret = key?.secret ?? ''
    const replica = await environment.replica(postgres.applicationUrl(), { MINTMARK_GATEWAY_MODEL: 'body' })
    await replica.exchange(secret)
    const ms = environment.full ? FULL_MS : SHORT_MS
    const before = residentBytes(replica)
    report.note('without an attack', summary(await during(replica, secret, ms)))
    const all: Measured[] = []
    let running = 0
    for (const attack of ATTACKS) {
      const attacker = fork(new URL('environment/gateway-attacks.ts', import.meta.url), [
        attack,
        replica.urls.gateway,
        replica.urls.gatewayGrpc,
        secret,
      ])
      environment.onEnd(() => attacker.kill('SIGKILL'))
      let begun = 0
      attacker.on('message', count => {
        begun = Number(count)
      })
      await until(`the attack with ${attack} has begun`, () => begun > 0, Boolean, PATIENCE_MS)
      const measured = await during(replica, secret, ms)
      if (attacker.exitCode === null) running++
      attacker.kill('SIGKILL')
      all.push(measured)
      report.note(attack, `${summary(measured)}, ${begun} times`)
    }
    const refused = all.flatMap(({ checks }) => checks).filter(({ ok }) => !ok).length
    const longest = (of: (measured: Measured) => number) => Math.max(...all.map(of))
    report.invariant('attacks that ran', running, { exactly: ATTACKS.length, why: WHY.carriedOut })
    report.invariant('honest checks other than allowed', refused, { exactly: 0, why: WHY.knownKeys })
    report.invariant(
      'memory that an attack took, the most',
      (longest(({ mostBytes }) => mostBytes) - before) / MEBIBYTE,
      { atMost: MOST_HELD_MEBIBYTES, unit: 'MiB', why: WHY.bounded },
    )
    report.measurement(
      'honest checks, 99th percentile, during the worst attack',
      longest(({ checks }) => p99(checks)),
      { atMost: 100, unit: 'ms' },
    )
    report.measurement(
      'longest event-loop delay during any attack',
      longest(({ lagMs }) => lagMs),
      { atMost: 50, unit: 'ms' },
    )
  },
}

/** Of one attack, for the report. */
function summary({ checks, lagMs, mostBytes }: Measured): string {
  const allowed = checks.filter(({ ok }) => ok).length
  const megabytes = (mostBytes / MEBIBYTE).toFixed(0)
  return `${allowed} of ${checks.length} allowed, p99 ${p99(checks).toFixed(0)} ms, loop ${lagMs.toFixed(0)} ms, ${megabytes} MiB`
}

function p99(checks: readonly Check[]): number {
  const sorted = checks.map(({ ms }) => ms).sort((one, other) => one - other)
  return sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN
}

interface Check {
  ok: boolean
  ms: number
}
interface Measured {
  checks: readonly Check[]
  /** The service's own metric. It is read from a timer of 10 ms, which it includes. */
  lagMs: number
  mostBytes: number
}

/** Sends honest checks over both transports for so long. */
async function during(replica: Replica, secret: string, ms: number): Promise<Measured> {
  const session = connect(replica.urls.gatewayGrpc)
  session.on('error', () => {})
  // The metric is reset when it is read.
  await longestLag(replica)
  const checks: Promise<Check>[] = []
  let mostBytes = residentBytes(replica)
  const sending = setInterval(
    () => checks.push(overGrpc(session, secret), overHttp(replica, secret)),
    EVERY_MS,
  )
  const watching = setInterval(() => {
    mostBytes = Math.max(mostBytes, residentBytes(replica))
  }, WATCH_MS)
  await sleep(ms)
  clearInterval(sending)
  clearInterval(watching)
  const answered = await Promise.all(checks)
  session.destroy()
  return { checks: answered, lagMs: await longestLag(replica), mostBytes }
}

async function longestLag(replica: Replica): Promise<number> {
  const { text } = await replica.get(`${replica.urls.ops}/metrics`)
  const [, seconds] = /^nodejs_eventloop_lag_max_seconds (\S+)$/m.exec(text) ?? []
  return Number(seconds) * 1_000
}

async function overHttp(replica: Replica, secret: string): Promise<Check> {
  const begin = performance.now()
  const headers = { authorization: `Bearer ${secret}` }
  const ok = await fetch(`${replica.urls.gateway}/check/v1/models`, { headers }).then(
    answer => answer.status === 200,
    () => false,
  )
  return { ok, ms: performance.now() - begin }
}

async function overGrpc(session: ClientHttp2Session, secret: string): Promise<Check> {
  const begin = performance.now()
  const ok = await allowed(session, secret).catch(() => false)
  return { ok, ms: performance.now() - begin }
}

async function allowed(session: ClientHttp2Session, secret: string): Promise<boolean> {
  const stream = session.request({ ...GRPC_HEADERS, ':path': CHECK_PATH })
  let text = ''
  stream.on('data', chunk => {
    text += chunk
  })
  const trailers = once(stream, 'trailers', { signal: AbortSignal.timeout(30_000) })
  stream.end(honestCheck(secret))
  const [ended] = await trailers
  return ended['grpc-status'] === '0' && text.includes('Bearer eyJ')
}
