import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { verifyDatabase } from '../../src/audit/audit-upkeep.ts'
import { Database } from '../../src/database/database.ts'
import { systemClock } from '../../src/system/clock.ts'
import { createLogger } from '../../src/system/logger.ts'
import { type Environment, now, PATIENCE_MS } from '../faults/environment/environment.ts'
import { fillKeys, TENANT } from '../faults/environment/known-keys.ts'
import { Ledger } from '../faults/environment/ledger.ts'
import { streams } from '../faults/environment/load.ts'
import { REFUSED, refusals, reportExchanges } from '../faults/environment/outage.ts'
import type { Postgres } from '../faults/environment/postgres.ts'
import { ENVIRONMENT, type Replica } from '../faults/environment/replica.ts'
import { type Report, WHY } from '../faults/environment/report.ts'
import { scrape } from '../observability/metrics-text.ts'
import { until } from '../support/until.ts'
import { endBefore } from './ended.ts'
import { RefusalProbe, refusalStatuses } from './refused.ts'
import { jwksOf, makeDue, published, signingKeys, verifyEachOther } from './signing.ts'

const KEYS = 300
const CHANGES = 10
/** How many windows after its begin each thing happens. The signing key is due at 1.5, give or take. */
const EXTENDED_AT = 0.5
const RESTARTED_AT = [0.2, 1.2, 2.4] as const
const BACK_AT = 3.2
const DUE_AT = 1.5
/** Between the first start, which publishes the standby, and the outage. */
const SETUP_SECONDS = 60
/** The extension ends after it. */
const EXTENDED_FOR = 4

export interface Gameday {
  windowSeconds: number
  perSecond: number
  /** The shared volume. */
  snapshots: string
  mintmark(env: Record<string, string>, ...words: string[]): Promise<string>
}

export async function conductOutage(environment: Environment, gameday: Gameday): Promise<void> {
  const { report } = environment
  const { windowSeconds, snapshots } = gameday
  const settings = {
    MINTMARK_SNAPSHOT_DIR: snapshots,
    MINTMARK_STALENESS_SECONDS: `${windowSeconds}`,
    MINTMARK_SHORT_PUBLISH_LEAD: 'allowed',
    MINTMARK_PUBLISH_LEAD_SECONDS: `${DUE_AT * windowSeconds + SETUP_SECONDS}`,
    MINTMARK_ROTATION_INTERVAL_SECONDS: `${Math.max(3600, 2 * DUE_AT * windowSeconds)}`,
    // Those from before the outage are still valid at its end.
    MINTMARK_TOKEN_TTL_SECONDS: '3600',
  }
  const postgres = await environment.postgres()
  const secrets = (await fillKeys(postgres, KEYS)).map(({ secret }) => secret)
  const [secret = ''] = secrets
  const start = () => environment.replica(postgres.applicationUrl(), settings)
  const replicas = [await start(), await start(), await start()]
  const [first] = replicas as [Replica]
  const balancer = await startBalancer(environment, replicas)
  const ledger = new Ledger(
    { ...first, admin: (method, path, body) => (replicas[0] as Replica).admin(method, path, body) },
    { perSecond: 2 },
  )
  ledger.start()
  const ended = await endBefore(first)
  const livingToken = (await first.exchange(secret)).body.access_token as string
  const impatient = await impatientKey(first, windowSeconds)
  await until('some changes are acknowledged', () => ledger.acknowledged >= CHANGES, Boolean, 3 * PATIENCE_MS)
  const due = await makeDue(first)
  await published(replicas, due.kid)
  await snapshotsAre(replicas)
  const load = environment.load(
    streams.known([balancer.front], secrets, { perSecond: gameday.perSecond, connections: 50 }),
  )
  const probe = new RefusalProbe(ended, () => replicas)
  await sleep(Math.max(2_000, due.at - Date.now() - DUE_AT * windowSeconds * 1000))

  await postgres.kill()
  const wentAt = now()
  const at = (windows: number) => sleep(Math.max(0, wentAt + windows * windowSeconds * 1000 - now()))
  const restart = async (index: number) => {
    await at(RESTARTED_AT[index] ?? 0)
    await replicas[index]?.process.kill()
    replicas[index] = await start()
    balancer.use(replicas)
  }
  const extend = async () => {
    await at(EXTENDED_AT)
    const end = new Date(Date.now() + EXTENDED_FOR * windowSeconds * 1000).toISOString()
    const words = ['emergency', 'extend', '--until', end, '--reason', 'gameday']
    return gameday.mintmark(
      { ...ENVIRONMENT, ...settings, DATABASE_URL: postgres.applicationUrl() },
      ...words,
    )
  }
  const [, said] = await Promise.all([restart(0), extend()])
  report.holds('"mintmark emergency extend" says until when', said.includes('until'), WHY.said)
  await restart(1)
  await at((RESTARTED_AT[1] + RESTARTED_AT[2]) / 2)
  await reportServing(report, { name: 'after 1.8 windows', replicas, secret, livingToken })
  await restart(2)
  await at(BACK_AT - 0.2)
  await reportServing(report, { name: 'after 3 windows', replicas, secret, livingToken })
  report.holds(
    'the signing key was due during the outage',
    due.at > wentAt && due.at < Date.now(),
    WHY.carriedOut,
  )
  const during = await verifyEachOther(replicas, secret)
  report.invariant(
    'replicas that sign with the key that was due',
    during.kids.filter(kid => kid === due.kid).length,
    {
      exactly: replicas.length,
      why: WHY.knownKeys,
    },
  )
  report.invariant(REFUSED, await refusals(replicas[0] as Replica), { exactly: 3, why: WHY.honest })
  const impatientStatuses = await Promise.all(replicas.map(each => each.exchange(impatient)))
  report.holds(
    'a tenant with a staleness_seconds of its own is refused with 503 in spite of the extension',
    impatientStatuses.every(({ status }) => status === 503),
    WHY.revoked,
  )
  await at(BACK_AT)
  report.note('Postgres was gone for', (now() - wentAt) / 1000, 's')
  report.note('of windows', (now() - wentAt) / 1000 / windowSeconds)

  await postgres.start()
  const back = now()
  for (const replica of replicas) await healed(replica)
  report.promise('every replica follows the database again after', (now() - back) / 1000, {
    usually: 10,
    atMost: 60,
    unit: 's',
    why: WHY.recovers,
  })
  await reportHealed(report, { replicas, secret, kid: due.kid, impatient })
  await ledger.stop()
  await sleep(2_000)
  await probe.stop()
  report.invariant('tries of what ended before', probe.answered, { atLeast: 1_000, why: WHY.carriedOut })
  report.invariant('of these, accepted', probe.accepted.length, { exactly: 0, why: WHY.revoked })
  for (const accepted of probe.accepted.slice(0, 5)) report.note('accepted', accepted)
  const statuses = await Promise.all(replicas.map(replica => refusalStatuses(replica, ended)))
  report.invariant(
    'responses to what ended, other than 400, 401 and 403, afterwards',
    unlike(statuses.flat(), 400, 401, 403),
    {
      exactly: 0,
      why: WHY.revoked,
    },
  )
  reportExchanges(report, (await load.stop())('known'), { atLeast: 500 })
  report.invariant('acknowledged changes', ledger.acknowledged, { atLeast: CHANGES, why: WHY.carriedOut })
  for (const [index, replica] of replicas.entries())
    report.invariant(
      `acknowledged changes that replica ${index + 1} lost`,
      (await ledger.lost(replica)).length,
      {
        exactly: 0,
        why: WHY.nothingLost,
      },
    )
  await reportAudit(report, postgres)
}

const unlike = (statuses: readonly number[], ...right: number[]) =>
  statuses.filter(status => !right.includes(status)).length

/** A key of a tenant that wants the database to have been seen lately. */
async function impatientKey(replica: Replica, windowSeconds: number): Promise<string> {
  await replica.change('/tenants', { id: 'impatient', staleness_seconds: Math.floor(windowSeconds / 2) })
  return (await replica.change('/tenants/impatient/keys', {})).body.secret
}

/** Until each replica wrote a snapshot after the last change. */
async function snapshotsAre(replicas: readonly Replica[]): Promise<void> {
  const written = async ({ urls }: Replica) =>
    (await scrape(urls.ops)).series.get('mintmark_snapshots_written_total') ?? 0
  for (const replica of replicas) {
    const before = await written(replica)
    await until(
      'a snapshot is written',
      () => written(replica),
      count => count > before,
      2 * PATIENCE_MS,
    )
  }
}

/** Everything that needs no database, at each replica. */
async function reportServing(
  report: Report,
  about: { name: string; replicas: readonly Replica[]; secret: string; livingToken: string },
): Promise<void> {
  const { name, replicas, secret, livingToken } = about
  const exact = { exactly: replicas.length, why: WHY.knownKeys }
  const count = async (good: (replica: Replica) => Promise<boolean>) =>
    (await Promise.all(replicas.map(good))).filter(Boolean).length
  const ready = await count(async ({ get, urls }) => {
    const { status, body } = await get(`${urls.ops}/readyz`)
    return status === 200 && typeof body?.warning === 'string'
  })
  report.invariant(`${name}: replicas that are ready, with a warning`, ready, exact)
  const checked = await count(async ({ get, urls }) => {
    const headers = { authorization: `Bearer ${livingToken}` }
    return (await get(`${urls.gateway}/check/v1/models`, headers)).status === 200
  })
  report.invariant(`${name}: replicas whose /check accepts a token from before`, checked, exact)
  const { verified, refused } = await verifyEachOther(replicas, secret)
  report.invariant(`${name}: tokens that another replica's keys verify`, verified, {
    exactly: replicas.length ** 2,
    why: WHY.knownKeys,
  })
  report.invariant(`${name}: tokens that they do not verify`, refused, { exactly: 0, why: WHY.knownKeys })
}

/** Until nothing is left of the outage. */
async function healed({ get, urls }: Replica): Promise<void> {
  await until(
    'it follows the database again',
    async () => ({
      ready: await get(`${urls.ops}/readyz`),
      serving: (await scrape(urls.ops)).series.get('mintmark_snapshot_serving'),
    }),
    ({ ready, serving }) => ready.status === 200 && ready.body?.warning === undefined && serving === 0,
    PATIENCE_MS,
  )
}

async function reportHealed(
  report: Report,
  about: { replicas: readonly Replica[]; secret: string; kid: string; impatient: string },
): Promise<void> {
  const { replicas, secret, kid, impatient } = about
  const [first] = replicas as [Replica]
  const keys = await until(
    'the next standby exists',
    () => signingKeys(first),
    all => all.some(({ state }) => state === 'standby'),
    PATIENCE_MS,
  )
  const active = keys.filter(({ state }) => state === 'active').map(each => each.kid)
  report.holds('the key that was due is active, and has a successor', active.join() === kid, WHY.recovers)
  const made = (await first.change(`/tenants/${TENANT}/keys`, {})).body
  const statusAt = (replica: Replica, key: string) => async () => (await replica.exchange(key)).status
  for (const replica of replicas) {
    await until(
      'a new key is exchanged',
      statusAt(replica, made.secret),
      status => status === 200,
      PATIENCE_MS,
    )
    await until(
      'the impatient tenant is served',
      statusAt(replica, impatient),
      status => status === 200,
      PATIENCE_MS,
    )
  }
  await first.change(`/keys/${made.id}/revoke`, { reason: 'gameday' })
  for (const replica of replicas)
    await until('it is refused', statusAt(replica, made.secret), status => status === 401, PATIENCE_MS)
  report.holds('a new key is exchanged, and refused once it is revoked, at each replica', true, WHY.recovers)
  const same = async () => new Set(await Promise.all(replicas.map(jwksOf))).size
  await until('all publish the same keys', same, count => count === 1, PATIENCE_MS)
  const { refused } = await verifyEachOther(replicas, secret)
  report.invariant('afterwards: tokens that another replica does not verify', refused, {
    exactly: 0,
    why: WHY.recovers,
  })
}

async function reportAudit(report: Report, postgres: Postgres): Promise<void> {
  const extensions = () =>
    postgres.sql<{ at: Date }>("SELECT at FROM audit_events WHERE action = 'emergency.extend'")
  const found = await until('the extension is audited', extensions, rows => rows.length > 0, PATIENCE_MS)
  report.invariant('audit rows of the extension, of three replicas', found.length, {
    exactly: 1,
    why: WHY.audited,
  })
  const database = new Database({ url: postgres.ownerUrl, maxConnections: 1, logger: createLogger('silent') })
  try {
    const { findings, rows } = await verifyDatabase(database, [], systemClock)
    report.invariant('audit rows', rows, { atLeast: CHANGES, why: WHY.carriedOut })
    report.invariant('faults of the audit chain', findings.length, { exactly: 0, why: WHY.audited })
  } finally {
    await database.close()
  }
}

async function startBalancer(environment: Environment, replicas: readonly Replica[]) {
  const program = new URL('../faults/environment/round-robin.ts', import.meta.url)
  const balancer: ChildProcess = fork(program, ['resend'])
  environment.onEnd(() => balancer.kill('SIGKILL'))
  const [port] = (await once(balancer, 'message')) as [number]
  const use = (all: readonly Replica[]) => balancer.send(all.map(({ urls }) => urls))
  use(replicas)
  const [first] = replicas as [Replica]
  const front: Replica = { ...first, urls: { ...first.urls, public: `http://127.0.0.1:${port}` } }
  return { use, front }
}
