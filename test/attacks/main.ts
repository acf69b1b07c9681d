import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Environment } from '../faults/environment/environment.ts'
import { median } from '../faults/environment/statistics.ts'
import { Attacker, BUSY_CORE } from './attacker.ts'
import { type Attack, HTTP_ATTACKS, type Scale, type Target } from './attacks.ts'
import { type CpuTime, cpuTimeOf, difference } from './cpu.ts'
import { GATEWAY_FILES, startGateway } from './gateways.ts'
import { GRPC_ATTACKS } from './grpc-attacks.ts'
import { Honest, type HonestPlan, type HonestSample, UNSENT } from './honest.ts'
import { endWithSignals, type Installation, type LongestTurn, startInstallation } from './installation.ts'
import { mostDuring, residentMib, treeOf } from './memory.ts'
import type { Refusal } from './raw-client.ts'

/**
 * attacks/ sends anonymous and badly authenticated load to every gateway of deploy/ that this machine can run, and to Mintmark's own check
 * over HTTP and gRPC, during 100 honest requests a second from another address:
 *
 *   npm run attacks every kind for a third of a second, as in CI
 *   npm run attacks -- nginx mintmark-grpc some of them
 *   npm run attacks -- --full every kind for four seconds, with more connections
 *   npm run attacks -- --full --kind 'byte short' caddy the kinds with this text in their names
 *
 * Prints a row for each kind: how long until it was refused, what the gateway's processes held in memory for it, and how
 * the honest requests fared, with their 99th percentile before the attacks. "gateway" and "attacker" are their parts of a core, "queued" the part
 * of the time in which the gateway or the honest client could run and no core was free. "loop work" is what Mintmark's event loop worked in
 * its longest turn, which no other process changes, unlike "loop delay". The attacker is a process of a lower priority,
 * as if it had a machine of its own. A row fails when something is accepted, when the memory passes its bound, or when an honest
 * request is not answered 200, and again in a second attempt, while all are without an attack in between. Milliseconds depend on the machine: they are printed, and
 * marked where they pass their bound.
 * Ends with "N passed, N failed", which counts rows.
 */
const HONEST_PER_SECOND = 100
/**
 * Memory for each connection that an attack holds: half of what each kind offers. HAProxy has a buffer of 4 MB for each of
 * them, 1,024 buffers at most, and fills it before it looks at the headers.
 */
const MOST_MIB_HELD = 2
/**
 * The same with a valid credential, whose bodies of 4 MB are read by all connections at once and copied to be parsed, and for Mintmark:
 * garbage counts until it is collected.
 */
const TIMES_OF_MORE = 4
/** For all kinds together: what one has freed the next may use. */
const TIMES_IN_ALL = 6
const HONEST_P99_MS = 100
const LOOP_DELAY_MS = 50
const SCALES: Record<'short' | 'full', Scale> = {
  short: { ms: 350, holding: 24, silent: 600 },
  full: { ms: 4_000, holding: 100, silent: 2_000 },
}
const WARM_UP_MS = 1_000
const PAUSE_MS = 100
const NAME_WIDTH = 92
const NO_ATTACK = 'no attack'
/** The sum of all rows. The 99th percentile leaves out those with a valid credential, whose bodies are read. */
const ALL = 'all of them'
const COLUMNS = [
  ...['median', 'worst', 'memory', 'honest p99', 'without', 'honest failed', 'gateway', 'attacker', 'queued'],
  ...['loop delay', 'loop work'],
]
const WIDTHS = COLUMNS.map(({ length }) => Math.max(length, 9))
const HEADINGS = `${' '.repeat(10 + NAME_WIDTH)}${COLUMNS.map((column, index) => column.padStart(WIDTHS[index] ?? 0)).join('  ')}`

/** A gateway, or Mintmark's own check. */
interface Subject {
  name: string
  absent: boolean
  attacks: readonly Attack[]
  start(installation: Installation, engine: number): Promise<Running>
}

interface Running {
  target: Target
  plan: HonestPlan
  pids: readonly number[]
  /** Only Mintmark's own process is asked. */
  longestTurn?: () => LongestTurn
  stop(): Promise<void>
}

const gateways = GATEWAY_FILES.map(
  (file): Subject => ({
    name: file.name,
    absent: file.absent,
    attacks: HTTP_ATTACKS.filter(({ needsHttp2 }) => file.http2 || !needsHttp2)
      .filter(({ needsModelCheck }) => file.checksModel || !needsModelCheck)
      .filter(({ forMintmark }) => !forMintmark),
    start: async (installation, engine) => {
      const { url, pid, stop } = await startGateway(file, installation, engine)
      const credentials = file.credentials.map(kind => installation[kind])
      const { token } = installation
      return {
        target: { url, prefix: '', valid: credentials[0] ?? '', token },
        plan: { over: 'http', url, path: '/v1/chat/completions', credentials, perSecond: HONEST_PER_SECOND },
        pids: treeOf(pid),
        stop,
      }
    },
  }),
)

const mintmark = (over: 'http' | 'grpc'): Subject => ({
  name: `mintmark-${over}`,
  absent: false,
  attacks: over === 'grpc' ? GRPC_ATTACKS : HTTP_ATTACKS.filter(({ needsHttp2 }) => !needsHttp2),
  start: async ({ readsBody, key, token }) => {
    const url = `http://127.0.0.1:${over === 'grpc' ? readsBody.ports.gatewayGrpc : readsBody.ports.gateway}`
    const path = '/check/v1/chat/completions'
    readsBody.longestTurn()
    return {
      target: { url, prefix: '/check', valid: key, token },
      plan: { over, url, path, credentials: [key, token], perSecond: HONEST_PER_SECOND },
      pids: [readsBody.replica.process.pid],
      longestTurn: readsBody.longestTurn,
      stop: async () => {},
    }
  },
})

const SUBJECTS: readonly Subject[] = [...gateways, mintmark('http'), mintmark('grpc')]

const { values, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: { full: { type: 'boolean', default: false }, kind: { type: 'string', default: '' } },
})
const scale = SCALES[values.full ? 'full' : 'short']
const MOST_MIB = MOST_MIB_HELD * scale.holding
const unknown = wanted.filter(name => !SUBJECTS.some(subject => subject.name === name))
if (unknown.length > 0)
  throw new Error(`unknown: ${unknown.join(', ')}; known: ${SUBJECTS.map(({ name }) => name).join(', ')}`)

const environment = new Environment({ full: false })
endWithSignals(environment)
const counts = { passed: 0, failed: 0 }
try {
  const installation = await startInstallation(environment)
  const honest = await Honest.start()
  environment.onEnd(() => honest.stop())
  const attacker = await Attacker.start()
  environment.onEnd(() => attacker.stop())
  for (const subject of SUBJECTS) {
    if (wanted.length > 0 && !wanted.includes(subject.name)) continue
    if (subject.absent) console.log(`\n${subject.name}: skipped, it is not installed`)
    else await examine(subject, installation, { honest, attacker })
  }
} finally {
  await environment.close()
}
console.log(`\n${counts.passed} passed, ${counts.failed} failed`)
process.exit(counts.failed > 0 ? 1 : 0)

interface Clients {
  honest: Honest
  attacker: Attacker
}

async function examine(subject: Subject, installation: Installation, clients: Clients): Promise<void> {
  const { honest } = clients
  const begun = performance.now()
  const running = await subject.start(installation, honest.enginePort)
  // Also when a signal ends the run; a second time it does nothing.
  environment.onEnd(running.stop)
  try {
    honest.use(running.plan)
    console.log(`\n${subject.name}\n${HEADINGS}`)
    const control = await attempt(NO_ATTACK, running, clients)
    const without = percentile(answeredOf(control), 0.99)
    const found = [{ ...control, busy: failuresOf(control).length > 0, anonymous: true }]
    print(subject.name, NO_ATTACK, found[0] as Found)
    const busy = await attempt(BUSY_CORE, running, clients)
    print(subject.name, BUSY_CORE, { ...busy, busy: failuresOf(busy).length > 0, without })
    const atFirst = residentMib(running.pids)
    for (const attack of subject.attacks.filter(({ name }) => name.includes(values.kind))) {
      const first = await attempt(attack.name, running, clients)
      const row =
        failuresOf(first).length > 0
          ? await attemptAgain(attack.name, running, clients, first)
          : { ...first, busy: false }
      found.push({ ...row, anonymous: !attack.needsModelCheck })
      print(subject.name, attack.name, {
        ...row,
        without,
        bound: MOST_MIB * (attack.needsModelCheck || running.longestTurn ? TIMES_OF_MORE : 1),
      })
    }
    const seconds = ((performance.now() - begun) / 1000).toFixed(0)
    print(subject.name, `${ALL}, in ${seconds} s`, {
      refusals: [],
      samples: found.filter(({ busy, anonymous }) => !busy && anonymous).flatMap(({ samples }) => samples),
      strays: 0,
      without,
      mib: Math.max(...found.slice(1).map(({ most }) => most)) - atFirst,
      most: 0,
      bound: MOST_MIB * TIMES_IN_ALL * (running.longestTurn ? 2 : 1),
      turn: running.longestTurn && worst(found.flatMap(({ turn }) => turn ?? [])),
    })
  } finally {
    await running.stop()
  }
}

/** The attack of this name, or none, during honest requests. */
async function attempt(name: string, running: Running, { honest, attacker }: Clients): Promise<Found> {
  const { target, plan } = running
  const held = residentMib(running.pids)
  running.longestTurn?.()
  const times = () => ({
    gateway: cpuTimeOf(running.pids),
    attacker: cpuTimeOf([attacker.pid]),
    served: cpuTimeOf([...running.pids, honest.pid]),
  })
  const before = times()
  const begun = performance.now()
  const { mib, result: seen } = await mostDuring(running.pids, () =>
    honest.during(async () => {
      if (name === NO_ATTACK) return await sleep(WARM_UP_MS, [])
      const refusals = await attacker.run({ over: plan.over, name, target, scale })
      await sleep(PAUSE_MS)
      return refusals
    }),
  )
  const { result: refusals, ...honestly } = seen
  const ms = performance.now() - begun
  const now = times()
  const cpu = {
    ms,
    gateway: difference(now.gateway, before.gateway),
    attacker: difference(now.attacker, before.attacker),
    served: difference(now.served, before.served),
  }
  return { cpu, ...honestly, refusals, mib: mib - held, most: mib, turn: running.longestTurn?.() }
}

/** An honest request failed: again without an attack, which shows whether the machine is too busy, and again with it. */
async function attemptAgain(
  name: string,
  running: Running,
  clients: Clients,
  first: Found,
): Promise<Found & { busy: boolean }> {
  const control = await attempt(NO_ATTACK, running, clients)
  const again = await attempt(name, running, clients)
  return {
    ...again,
    strays: first.strays + again.strays,
    mib: Math.max(first.mib, again.mib),
    firstAttempt: statusesOf(failuresOf(first)),
    busy: failuresOf(control).length > 0,
  }
}

function failuresOf({ samples }: Pick<Found, 'samples'>): HonestSample[] {
  return samples.filter(({ status }) => status !== 200 && status !== UNSENT)
}

function answeredOf({ samples }: Pick<Found, 'samples'>): HonestSample[] {
  return samples.filter(({ status }) => status !== UNSENT)
}

interface Found {
  /** In so many milliseconds; `served`: the gateway with the honest client. */
  cpu?: { ms: number } & Record<'gateway' | 'attacker' | 'served', CpuTime>
  refusals: readonly Refusal[]
  samples: readonly HonestSample[]
  /** Requests that reached the engine and are not the honest client's. */
  strays: number
  /** More than before. */
  mib: number
  /** In all. */
  most: number
  /** Of `mib`. */
  bound?: number
  /** The 99th percentile of honest requests before the attacks, in milliseconds. */
  without?: number
  /** Honest requests failed without an attack too: what failed is no evidence. */
  busy?: boolean
  /** The honest failures of a first attempt. */
  firstAttempt?: string
  /** Of Mintmark. */
  turn?: LongestTurn | undefined
}

function print(subject: string, kind: string, found: Found): void {
  const { refusals, samples, strays, mib, bound = MOST_MIB, without = Number.NaN, turn } = found
  const accepted = refusals.filter(({ status }) => status >= 200 && status < 300).length + strays
  const failed = failuresOf(found)
  const unsent = samples.filter(({ status }) => status === UNSENT).length
  const p99 = percentile(answeredOf(found), 0.99)
  const faults = [
    accepted > 0 && `${accepted} accepted`,
    mib > bound && `more than ${bound} MiB`,
    failed.length > 0 && !found.busy && `honest: ${statusesOf(failed)}`,
    samples.length === 0 && 'the machine is too busy: honest requests fail without an attack too',
  ].filter(Boolean)
  const late = unsent > 0 || failed.length > 0 || p99 > HONEST_P99_MS || (turn?.ms ?? 0) > LOOP_DELAY_MS
  counts[faults.length > 0 ? 'failed' : 'passed']++
  const times = refusals.flatMap(({ ms }) => ms ?? [])
  const cells = [
    ms(median(times)),
    ms(Math.max(...times)),
    `${mib >= 0 ? '+' : ''}${mib.toFixed(0)} MiB`,
    ms(p99),
    ms(without),
    `${failed.length} of ${samples.length - unsent}`,
    ...(['gateway', 'attacker'] as const).map(who => share(found.cpu?.[who].used, found.cpu?.ms)),
    share(found.cpu?.served.waited, found.cpu?.ms),
    ms(turn?.ms),
    ms(turn?.workMs),
  ]
  // scripts/ci-summary.js repeats what is outside: once for a gateway is enough.
  const outside = kind.startsWith(ALL) ? 'outside' : 'late'
  const notes = [
    statusesOf(refusals),
    found.busy && `honest without an attack too: ${statusesOf(failed)}`,
    unsent > 0 && `honest unsent: ${unsent}`,
    found.firstAttempt && `second attempt, in the first honest: ${found.firstAttempt}`,
  ].filter(Boolean)
  const mark = faults.length > 0 ? 'FAILED' : late ? outside : 'ok'
  const row = cells.map((cell, index) => cell.padStart(WIDTHS[index] ?? 0)).join('  ')
  const why = faults.length > 0 ? `  <- ${faults.join('; ')}` : ''
  console.log(
    `  ${mark.padEnd(7)} ${`${subject}: ${kind}`.padEnd(NAME_WIDTH)}${row}  ${notes.join('; ')}${why}`,
  )
}

function worst(turns: readonly LongestTurn[]): LongestTurn {
  const longest = (of: keyof LongestTurn) => Math.max(0, ...turns.map(turn => turn[of]))
  return { ms: longest('ms'), workMs: longest('workMs') }
}

function percentile(samples: readonly HonestSample[], share: number): number {
  const sorted = samples.map(({ ms }) => ms).sort((a, b) => a - b)
  return sorted[Math.ceil(sorted.length * share) - 1] ?? Number.NaN
}

/** `401: 40`, with -1 and 0 in words. */
function statusesOf(ended: readonly { status: number }[]): string {
  const names: Record<number, string> = { [-1]: 'unanswered', 0: 'closed' }
  const byStatus = Map.groupBy(ended, ({ status }) => status)
  return [...byStatus]
    .sort(([one], [other]) => one - other)
    .map(([status, those]) => `${names[status] ?? status}: ${those.length}`)
    .join(', ')
}

function share(part: number | undefined, whole = Number.NaN): string {
  return part === undefined ? '' : `${((100 * part) / whole).toFixed(0)} %`
}

function ms(value = Number.NaN): string {
  return Number.isFinite(value) ? `${value.toFixed(value < 10 ? 1 : 0)} ms` : '-'
}
