import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { createLocalJWKSet, jwtVerify } from 'jose'
import { verifyDatabase } from '../../src/audit/audit-upkeep.ts'
import { Database } from '../../src/database/database.ts'
import { systemClock } from '../../src/system/clock.ts'
import { createLogger } from '../../src/system/logger.ts'
import { Environment, PATIENCE_MS } from '../faults/environment/environment.ts'
import { TENANT } from '../faults/environment/known-keys.ts'
import { Ledger } from '../faults/environment/ledger.ts'
import { streams } from '../faults/environment/load.ts'
import { Postgres } from '../faults/environment/postgres.ts'
import { ENVIRONMENT, type Replica } from '../faults/environment/replica.ts'
import { asLines, hasFailed, WHY } from '../faults/environment/report.ts'
import { until } from '../support/until.ts'
import { type Build, buildOf, lastRelease, thisBuild } from './build.ts'
import { RECEIVES_USAGE, Reporter } from './reporter.ts'
import { Reports } from './reports.ts'
import { refusedWrites } from './writes.ts'

/**
 * upgrade/ carries out the upgrade of the changelog, and its way back, on one database under load:
 *
 *   npm run upgrade-drill              from the last release to this build, back, and here again
 *   npm run upgrade-drill -- 2508e2e   from another commit
 *
 * Two replicas of the old build serve exchanges and changes. The new build migrates and seals; then replicas are replaced
 * one by one, as a Deployment does it, in both directions. At each stage every replica of both builds makes every kind of
 * change. Builds that receive usage get reports all the time, with a secret that is rotated while both builds run. Ends with
 * "N passed, N failed".
 */
const KEYS = 20
const REPLICAS = 2
const EXCHANGES_PER_SECOND = 300
const PAUSE_MS = 1_000
const ISSUER = ENVIRONMENT.MINTMARK_ISSUER
/** What an older replica cannot change after this migration, by the changelog of that version. */
const SEALS = '0009_sealed_rows'
const REFUSED_WITHOUT_SEALS = [
  'POST /imported-clients: 503',
  // Where the standby key has to become active sooner: here it is published for too short a time for that.
  'POST /signing-keys/rotate: 503',
  'POST /signing-keys/…/hold: 503',
  'POST /signing-keys/…/release: 503',
]

const commit = process.argv[2] ?? lastRelease()
if (commit === undefined) {
  console.log('skipped: this clone has no commit of the last release')
  console.log('0 passed, 0 failed')
  process.exit()
}
/** Of one replica, by the keys that another publishes. */
const tokens = { verified: 0, refused: 0 }
const environment = new Environment({ full: false })
const { report } = environment
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void environment.close().then(() => process.exit(1)))
try {
  await drill(commit)
} catch (error) {
  console.error(error)
  report.holds('it could be carried out', false, WHY.carriedOut)
} finally {
  await environment.close()
}
const invariants = report.figures.filter(({ kind }) => kind === 'invariant')
const failed = invariants.filter(figure => hasFailed(figure, false)).length
console.log(asLines(report.figures))
console.log(`\n${invariants.length - failed} passed, ${failed} failed`)
process.exit(failed > 0 ? 1 : 0)

async function drill(from: string): Promise<void> {
  const [old, current] = [await buildOf(from), await thisBuild()]
  environment.onEnd(() => old.remove())
  console.log(`from ${old.name} to ${current.name}`)
  const postgres = environment.ending(await Postgres.empty())
  await postgres.sql('CREATE DATABASE mintmark', [], 'postgres')
  const owner = { MIGRATE_DATABASE_URL: postgres.ownerUrl }
  await old.cli(['migrate'], owner)
  await postgres.sql('CREATE ROLE mintmark LOGIN IN ROLE mintmark_app')
  const start = (build: Build) =>
    environment.replica(
      postgres.applicationUrl(),
      build.hasMigration(RECEIVES_USAGE) ? { MINTMARK_OTLP_HTTP_PORT: '0' } : {},
      undefined,
      build.main,
    )

  let running = [await start(old), await start(old)] as [Replica, Replica]
  const secrets = await makeKeys(running[0])
  const balancer = await startBalancer(running)
  const reports = new Reports(() => running, `key_${secrets[0]?.split('_')[1]}`)
  environment.onEnd(() => reports.stop())
  /** Changes go to a replica that stays. */
  let writer = running[0]
  const ledger = new Ledger(
    { ...running[0], admin: (method, path, body) => writer.admin(method, path, body) },
    { perSecond: 2 },
  )
  const load = environment.load(
    streams.known([balancer.front], secrets, {
      perSecond: environment.rate(EXCHANGES_PER_SECOND),
      connections: 50,
    }),
  )
  ledger.start()
  const replaceAllBy = async (build: Build) => {
    for (let count = 0; count < REPLICAS; count++) {
      const next = await start(build)
      const [leaving, staying] = running
      running = [staying, next]
      writer = next
      balancer.use(running)
      await sleep(PAUSE_MS)
      leaving.process.child.kill('SIGTERM')
      if ((await leaving.process.exited).code !== 0)
        report.holds('a replaced replica ends with 0', false, WHY.recovers)
      await verifyEachOther(running)
    }
  }
  const reporter = new Reporter(report, reports)
  if (old.hasMigration(RECEIVES_USAGE)) await reporter.create(running)
  const allowed = old.hasMigration(SEALS) ? [] : REFUSED_WITHOUT_SEALS
  const expectWrites = async (stage: string, replica: Replica, refusable: readonly string[]) => {
    const refused = await refusedWrites(replica, { usage: replica.urls.otlpHttp !== undefined })
    report.note(`${stage}: refused`, refused.join(', ') || 'nothing')
    report.invariant(
      `${stage}: refusals that the changelog does not list`,
      refused.filter(each => !refusable.includes(each)).length,
      { exactly: 0, why: WHY.nothingLost },
    )
  }

  await sleep(PAUSE_MS)
  await expectWrites('before the migration, old build', running[0], [])
  await current.cli(['migrate'], owner)
  await expectWrites('after the migration, old build', running[0], allowed)
  await seal(current, postgres)
  await expectWrites('after sealing, old build', running[1], allowed)
  await replaceAllBy(current)
  await expectWrites('after the upgrade, new build', running[0], [])
  const versions = await Promise.all(running.map(versionsOf))
  report.holds(
    '/readyz and metrics show the version of each replica',
    versions.flat().every(version => current.name.startsWith(`${version} `)),
    WHY.said,
  )
  await reporter.rotate(running)
  const back = await start(old)
  await reporter.expectSecrets(back, old)
  await expectWrites('side by side, old build', back, allowed)
  await expectWrites('side by side, new build', running[1], [])
  await verifyEachOther([back, ...running])
  back.process.child.kill('SIGTERM')
  await back.process.exited
  await replaceAllBy(old)
  await reporter.expectSecrets(running[0], old)
  await expectWrites('after the rollback, old build', running[0], allowed)
  await replaceAllBy(current)
  await expectWrites('after the second upgrade, new build', running[1], [])

  for (const replica of running) await reporter.expectSecrets(replica, current)
  await reporter.expectCounted(running[1])
  const written = await ledger.stop()
  const known = (await load.stop())('known')
  report.invariant('exchanges', known.count, { atLeast: 500, why: WHY.carriedOut })
  report.invariant('exchanges that failed', known.failing(200).count, { exactly: 0, why: WHY.knownKeys })
  report.invariant('tokens that another replica verified', tokens.verified, {
    atLeast: 20,
    why: WHY.carriedOut,
  })
  report.invariant('tokens that another replica did not verify', tokens.refused, {
    exactly: 0,
    why: WHY.knownKeys,
  })
  report.invariant('acknowledged changes', ledger.acknowledged, { atLeast: 10, why: WHY.carriedOut })
  report.note('changes by status', written.statuses)
  for (const [index, replica] of running.entries())
    report.invariant(
      `acknowledged changes that replica ${index + 1} lost`,
      (await ledger.lost(replica)).length,
      {
        exactly: 0,
        why: WHY.nothingLost,
      },
    )
  report.invariant('faults of the audit chain', await auditFaults(postgres), {
    exactly: 0,
    why: WHY.audited,
  })
}

async function makeKeys(replica: Replica): Promise<string[]> {
  await replica.change('/tenants', { id: TENANT, name: TENANT })
  const secrets: string[] = []
  while (secrets.length < KEYS) {
    const { body } = await replica.change(`/tenants/${TENANT}/keys`, {})
    secrets.push(body.secret)
  }
  return secrets
}

/** As CHANGELOG.md says, where rows have no seals yet. */
async function seal(build: Build, postgres: Postgres): Promise<void> {
  const { MINTMARK_PEPPERS, MINTMARK_ENCRYPTION_KEYS } = ENVIRONMENT
  const env = { DATABASE_URL: postgres.applicationUrl(), MINTMARK_PEPPERS, MINTMARK_ENCRYPTION_KEYS }
  // A busy machine exceeds the limits of a transaction: the command is repeated, as an operator would.
  const run = (...words: string[]) =>
    until(`mintmark seal ${words.join(' ')}`, () => build.cli(['seal', ...words], env), Boolean, PATIENCE_MS)
  const listed = await run()
  const [, digest] = /--yes --expect (\S+?),/.exec(listed) ?? []
  if (digest !== undefined) await run('--yes', '--expect', digest)
  report.note('rows without a seal before', digest === undefined ? 'none' : 'sealed')
}

/** A token of each is verified with the keys that each of the others publishes. */
async function verifyEachOther(replicas: readonly Replica[]): Promise<void> {
  for (const issuing of replicas) {
    const { body } = await issuing.change(`/tenants/${TENANT}/keys`, {})
    for (const publishing of replicas) {
      const { body: token } = await issuing.exchange(body.secret)
      const { body: jwks } = await publishing.get(`${publishing.urls.public}/.well-known/jwks.json`)
      const expected = { issuer: ISSUER, audience: 'vllm' }
      await jwtVerify(token.access_token, createLocalJWKSet(jwks), expected).then(
        () => tokens.verified++,
        () => tokens.refused++,
      )
    }
  }
}

async function versionsOf({ urls, get }: Replica): Promise<(string | undefined)[]> {
  const { text } = await get(`${urls.ops}/metrics`)
  const { body } = await get(`${urls.ops}/readyz`)
  return [/^mintmark_build_info\{.*version="([^"]+)"/m.exec(text)?.[1], body?.version]
}

async function auditFaults(postgres: Postgres): Promise<number> {
  const database = new Database({ url: postgres.ownerUrl, maxConnections: 1, logger: createLogger('silent') })
  try {
    const { findings, rows } = await verifyDatabase(database, [], systemClock)
    return rows > 0 ? findings.length : Number.NaN
  } finally {
    await database.close()
  }
}

async function startBalancer(replicas: readonly Replica[]) {
  const balancer: ChildProcess = fork(new URL('../faults/environment/round-robin.ts', import.meta.url))
  environment.onEnd(() => balancer.kill('SIGKILL'))
  const [port] = (await once(balancer, 'message')) as [number]
  const use = (now: readonly Replica[]) => balancer.send(now.map(({ urls }) => urls))
  use(replicas)
  const [first] = replicas as [Replica]
  const front: Replica = { ...first, urls: { ...first.urls, public: `http://127.0.0.1:${port}` } }
  return { use, front }
}
