import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { readHeader } from '../../src/snapshots/sealed-file.ts'
import type { SnapshotHeader } from '../../src/snapshots/snapshot.ts'
import { Environment, PATIENCE_MS } from '../faults/environment/environment.ts'
import { fillKeys, type Key } from '../faults/environment/known-keys.ts'
import { streams } from '../faults/environment/load.ts'
import type { Postgres } from '../faults/environment/postgres.ts'
import { ENVIRONMENT, type Replica } from '../faults/environment/replica.ts'
import { asLines, hasFailed, WHY } from '../faults/environment/report.ts'
import { alertsText } from '../observability/alert-rules.ts'
import { scrape } from '../observability/metrics-text.ts'
import { lacksPrometheus, type Prometheus, startPrometheus } from '../observability/prometheus.ts'
import bundleSource, { bundled } from '../support/bundled-source.ts'
import { childEnvironment } from '../support/child-environment.ts'
import { until } from '../support/until.ts'
import { type Dead, Probe } from './dead.ts'
import { type InstalledPostgres, lacksPostgres, startInstalledPostgres } from './installed-postgres.ts'

/**
 * restore-drill/ restores a database to an older state, on a real Postgres with real processes:
 *
 *   npm run restore-drill
 *
 * Two replicas under load, a dump, then 50 API keys are revoked, two tenants suspended, the signing keys rotated and one of
 * them revoked. The dump is restored over the running replicas, reconciled, and restored again while no replica runs. What
 * had ended is tried all the time. Ends with "N passed, N failed". docs/guides/restore.md
 */
const KEYS = 500
const REVOKED = 50
const SUSPENDED = ['blue', 'green']
const KEYS_OF_SUSPENDED = 5
const PENDING = REVOKED + SUSPENDED.length + 1
/** How long what ended is tried after each step. */
const WATCHED_MS = 4_000

const missing = lacksPostgres()
if (missing !== undefined) {
  console.log(`restore drill: skipped, ${missing}`)
  process.exit(0)
}
await bundleSource()
const environment = new Environment({ full: false })
const { report } = environment
const folder = mkdtempSync(join(tmpdir(), 'mintmark-drill-'))
const snapshots = join(folder, 'snapshots')
environment.onEnd(() => rmSync(folder, { recursive: true }))
const settings = {
  MINTMARK_SNAPSHOT_DIR: snapshots,
  MINTMARK_SHORT_PUBLISH_LEAD: 'allowed',
  MINTMARK_PUBLISH_LEAD_SECONDS: '10',
  MINTMARK_ROTATION_INTERVAL_SECONDS: '3600',
}
try {
  await drill()
} catch (error) {
  console.error(error)
  report.holds('it could be carried out', false, WHY.carriedOut)
} finally {
  await environment.close()
}
console.log(`\nRestore drill\n${asLines(report.figures)}`)
const counted = report.figures.filter(({ kind }) => kind === 'invariant')
const failed = counted.filter(figure => hasFailed(figure, false)).length
console.log(`\n${counted.length - failed} passed, ${failed} failed`)
process.exit(failed > 0 ? 1 : 0)

async function drill(): Promise<void> {
  const installed = await startInstalledPostgres()
  const { postgres } = installed
  environment.ending(postgres)
  const keys = await fillKeys(postgres, KEYS)
  const revoked = keys.splice(0, REVOKED)
  const live = keys[0] as Key
  const start = (env: Record<string, string> = {}) =>
    environment.replica(postgres.applicationUrl(), { ...settings, ...env })
  const running = [await start(), await start()] as const
  const [first] = running
  const prometheus = await watchAlerts(running)
  const load = environment.load(
    streams.known(
      running,
      keys.map(({ secret }) => secret),
      { perSecond: 200, connections: 20 },
    ),
  )
  const suspended = await keysOfTenants(first)
  const dumpFile = join(folder, 'mintmark.dump')
  await installed.dump(dumpFile)
  const dead = await endAll(first, { revoked, suspended })
  await written(postgres, running.length)

  const under = new Probe(running, dead, live)
  await sleep(WATCHED_MS)
  await installed.restore(dumpFile)
  for (const replica of running) await noticed(replica)
  await firing(prometheus, true)
  await sleep(WATCHED_MS)
  await under.stop()
  reportProbe('running replicas', under)
  const late = await start({ MINTMARK_SNAPSHOT_DIR: join(folder, 'other') })
  await watched('a replica without a snapshot that started later', [late], dead, live)
  await late.process.kill()
  await reconcile(installed, running)
  await firing(prometheus, false)
  await watched('running replicas, reconciled', running, dead, live)
  const answered = (await load.stop())('known')
  report.invariant('exchanges of living keys under the load', answered.count, {
    atLeast: 500,
    why: WHY.carriedOut,
  })
  report.invariant('of these, failed', answered.failing(200).count, { exactly: 0, why: WHY.knownKeys })

  await written(postgres, running.length)
  for (const replica of running) await replica.process.kill()
  await installed.restore(dumpFile)
  const restarted = [await start(), await start()]
  await watched('restarted replicas with snapshots', restarted, dead, live)
  for (const replica of restarted) await noticed(replica)
  await reconcile(installed, restarted)
  await watched('restarted replicas, reconciled', restarted, dead, live)
}

/** Keys of the tenants that will be suspended. */
async function keysOfTenants(replica: Replica): Promise<Key[]> {
  const keys: Key[] = []
  for (const id of SUSPENDED) {
    await replica.change('/tenants', { id })
    for (let count = 0; count < KEYS_OF_SUSPENDED; count++) {
      const { body } = await replica.change(`/tenants/${id}/keys`, {})
      keys.push({ id: body.id, secret: body.secret })
    }
  }
  return keys
}

/** After the dump. */
async function endAll(
  replica: Replica,
  { revoked, suspended }: { revoked: readonly Key[]; suspended: readonly Key[] },
): Promise<Dead> {
  for (const { id } of revoked) await replica.change(`/keys/${id}/revoke`, { reason: 'drill' })
  for (const id of SUSPENDED) await replica.change(`/tenants/${id}/suspend`, {})
  await replica.change('/signing-keys/rotate', {})
  const list = async () =>
    (await replica.admin('GET', '/signing-keys')).body.data as { kid: string; state: string }[]
  await until('the key rotated', list, all => all.some(({ state }) => state === 'retiring'), PATIENCE_MS)
  const kid = (await list()).find(({ state }) => state === 'active')?.kid ?? ''
  const answer = await replica.change(`/signing-keys/${kid}/revoke`, { reason: 'drill' })
  report.holds(
    '50 keys revoked, 2 tenants suspended, 1 signing key rotated and revoked',
    answer.status === 200,
    WHY.carriedOut,
  )
  return { revoked, suspended, kid }
}

/** Until so many snapshots have the last change. */
async function written(postgres: Postgres, count: number): Promise<void> {
  const [row] = await postgres.sql<{ number: string }>('SELECT number FROM change_counter')
  const last = Number(row?.number)
  const headers = () => {
    const names = readdirSync(snapshots).filter(name => name.endsWith('.snapshot'))
    return Promise.all(names.map(name => readHeader<SnapshotHeader>(join(snapshots, name))))
  }
  const have = (all: SnapshotHeader[]) => all.filter(({ position }) => Number(position.number) >= last).length
  await until('the snapshots have the last change', headers, all => have(all) >= count, PATIENCE_MS)
}

async function noticed({ urls }: Replica): Promise<void> {
  await until(
    'the restore is noticed',
    async () => (await scrape(urls.ops)).series,
    series =>
      series.get('mintmark_restore_unreconciled') === 1 &&
      series.get('mintmark_tombstones_pending') === PENDING,
    PATIENCE_MS,
  )
}

async function watched(name: string, replicas: readonly Replica[], dead: Dead, live: Key): Promise<void> {
  const probe = new Probe(replicas, dead, live)
  await sleep(WATCHED_MS)
  await probe.stop()
  reportProbe(name, probe)
}

function reportProbe(name: string, { tries, exchanged, published }: Probe): void {
  report.invariant(`${name}: exchanges tried of what had ended`, tries, { atLeast: 60, why: WHY.carriedOut })
  report.invariant(`${name}: exchanged`, exchanged.length, { exactly: 0, why: WHY.revoked })
  report.invariant(`${name}: uses of the revoked signing key`, published, { exactly: 0, why: WHY.revoked })
}

async function reconcile({ postgres }: InstalledPostgres, replicas: readonly Replica[]): Promise<void> {
  const env = { ...ENVIRONMENT, ...settings, DATABASE_URL: postgres.applicationUrl() }
  const plan = await mintmark(env, 'restore', 'reconcile', '-o', 'json')
  report.invariant('objects in the plan', JSON.parse(plan).length, { exactly: PENDING, why: WHY.said })
  await mintmark(env, 'restore', 'reconcile', '--apply')
  for (const { urls } of replicas)
    await until(
      'it is reconciled',
      async () => (await scrape(urls.ops)).series.get('mintmark_restore_unreconciled'),
      value => value === 0,
      PATIENCE_MS,
    )
  const owner = { ...ENVIRONMENT, MIGRATE_DATABASE_URL: postgres.ownerUrl }
  const verified = await mintmark(owner, 'audit', 'verify')
  report.holds('the audit trail verifies', verified.includes('verifies'), WHY.audited)
}

async function mintmark(env: Record<string, string>, ...words: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [bundled('cli'), ...words],
      { env: childEnvironment(env) },
      (error, stdout, stderr) =>
        error ? reject(new Error(`mintmark ${words.join(' ')}: ${stderr}`)) : resolve(stdout),
    )
  })
}

async function watchAlerts(replicas: readonly Replica[]): Promise<Prometheus | undefined> {
  if (lacksPrometheus()) {
    report.note('alert in Prometheus', 'skipped: Prometheus is not installed')
    return undefined
  }
  const targets = replicas.map(({ urls }) => urls.ops)
  const prometheus = await startPrometheus({ targets, rules: alertsText })
  environment.onEnd(() => prometheus.stop())
  return prometheus
}

async function firing(prometheus: Prometheus | undefined, expected: boolean): Promise<void> {
  if (!prometheus) return
  const found = await until(
    expected ? 'the alert fires' : 'the alert ends',
    async () => {
      const { alerts } = (await prometheus.get('alerts')) as { alerts: { labels: Record<string, string> }[] }
      return alerts.some(({ labels }) => labels.alertname === 'MintmarkRestoreUnreconciled')
    },
    is => is === expected,
    PATIENCE_MS,
  )
  report.holds(
    expected
      ? 'MintmarkRestoreUnreconciled fires in Prometheus'
      : 'MintmarkRestoreUnreconciled ends after reconciling',
    found === expected,
    WHY.said,
  )
}
