import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Checks } from '../engine/checks.ts'
import type { Environment } from '../faults/environment/environment.ts'
import type { Replica } from '../faults/environment/replica.ts'
import { scrape } from '../observability/metrics-text.ts'
import { freePort } from '../support/free-port.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'
import { Balancer } from './balancer.ts'
import { live, refusedAfter, revoke, type Setting, statusOf, TOKENS } from './setting.ts'

/** Longer than a replica without its database keeps its gateways, and than they need to connect again. */
const SENT_AWAY_MS = 60_000
const SNAPSHOT_MS = 120_000

/** The second Envoy is partitioned from Mintmark. */
export async function checkPartition(checks: Checks, setting: Setting, seconds: number): Promise<void> {
  const { first, second, proxy } = setting
  const mine = await live(setting)
  await proxy.become('freeze')
  await revoke(setting, mine)
  const connected = await refusedAfter(first, mine.token)
  await sleep(seconds * 1_000)
  await checks.equal('the partitioned Envoy still accepts it', 200, () => statusOf(second, mine.token))
  await checks.equal('and is not shown as current', false, async () => {
    const { data } = (await setting.mintmark.admin('GET', '/gateways')).body
    return data.find(({ name }: { name: string }) => name === 'second').state === 'current'
  })
  const healed = performance.now()
  await proxy.become('none')
  const after = await refusedAfter(second, mine.token, healed)
  console.log(
    `\n  one Envoy partitioned for ${seconds} s: the other refused after ${Math.round(connected)} ms, it itself ${Math.round(after)} ms after the healing`,
  )
  await checks.equal('the other one is unaffected', true, () => connected < 1_000)
  await checks.equal('it refuses within 2 s of the healing', true, () => after < 2_000)
}

/** Another replica loses its database, and issues tokens for a key that is revoked at the first one. */
export async function checkCutOff(checks: Checks, environment: Environment, setting: Setting): Promise<void> {
  const { first, second } = setting
  const database = await TcpProxy.before(setting.postgres.applicationUrl())
  environment.onEnd(() => database.close())
  const xdsPort = await freePort()
  const cutOff = await setting.replica(database.url, {
    MINTMARK_XDS_PORT: String(xdsPort),
    MINTMARK_PUBLIC_PORT: '0',
    MINTMARK_SNAPSHOT_DIR: '',
  })
  // The next connection goes to the one that is cut off.
  const balancer = await Balancer.before([xdsPort, setting.xdsPort])
  environment.onEnd(() => balancer.close())
  const third = await setting.envoy({ token: TOKENS.third, port: balancer.port })
  const mine = await live(setting, [first, second, third])
  await checks.equal('a third Envoy is connected to the other replica', [1, 0], () => balancer.connections)
  await hasFollowed(cutOff, setting.mintmark)
  const known = await cutOff.exchange(mine.secret)
  await database.become('freeze')
  const { status } = await setting.mintmark.change(`/keys/${mine.key}/revoke`, {})
  const revokedAt = performance.now()
  const issued = await cutOff.exchange(mine.secret)
  await checks.equal(
    'a replica without its database goes on issuing for a revoked key',
    [200, 200, 200],
    () => [known, { status }, issued].map(each => each.status),
  )
  const token = issued.body.access_token
  for (const envoy of [first, second]) await refusedAfter(envoy, token)
  await checks.equal('what it issues is refused at Envoys of the other replica', [401, 401], () =>
    Promise.all([first, second].map(envoy => statusOf(envoy, token))),
  )
  const after = await refusedAfter(third, token, revokedAt, SENT_AWAY_MS)
  console.log(
    `\n  an Envoy that was connected to the replica without its database refused after ${(after / 1_000).toFixed(1)} s, at the other one`,
  )
  await checks.equal('and at the third one, which was sent away', 401, () => statusOf(third, token))
  await third.stop()
  await cutOff.process.kill()
}

/** Without Postgres a replica exchanges a key only if it has read the tenant from the change feed: to have found the key in Postgres before is not enough. */
async function hasFollowed(replica: Replica, other: Replica): Promise<void> {
  const position = async ({ urls }: Replica) =>
    (await scrape(urls.ops)).series.get('mintmark_feed_position') ?? Number.NaN
  const written = await position(other)
  await until(
    'the other replica has read the change feed',
    () => position(replica),
    read => read >= written,
  )
}

/** The database is restored to a backup from before the revocation: below Mintmark, and while it is stopped. */
export async function checkRestore(checks: Checks, setting: Setting): Promise<void> {
  const envoys = [setting.first, setting.second]
  const statuses = (token: string) => Promise.all(envoys.map(envoy => statusOf(envoy, token)))
  const before = await live(setting)
  await copyDatabase(setting, 'mintmark', 'backup')
  const [one, two] = [await revokedEverywhere(setting), await revokedEverywhere(setting)]
  await writtenSnapshot(setting)
  await copyDatabase(setting, 'backup', 'mintmark')
  // Another list is sent.
  await revokedEverywhere(setting, 60_000)
  await checks.equal('the database is restored below Mintmark: refused as before', [401, 401], () =>
    statuses(one.token),
  )
  await setting.mintmark.process.kill()
  await copyDatabase(setting, 'backup', 'mintmark')
  await checks.equal('Mintmark is stopped and the database restored: refused as before', [401, 401], () =>
    statuses(two.token),
  )
  setting.mintmark = await setting.replica(setting.postgres.applicationUrl())
  await revokedEverywhere(setting, 60_000)
  await checks.equal(
    'Mintmark runs on the restored database, and sent another list: refused as before',
    [401, 401],
    () => statuses(two.token),
  )
  await checks.equal('a token that was never revoked is accepted', [200, 200], () => statuses(before.token))
}

/** Mintmark writes one within about ten seconds after a change; one that began before the change does not count. */
async function writtenSnapshot({ mintmark }: Setting): Promise<void> {
  const written = async () =>
    (await scrape(mintmark.urls.ops)).series.get('mintmark_snapshots_written_total') ?? Number.NaN
  const before = await written()
  await until('two snapshots', written, now => now >= before + 2, SNAPSHOT_MS)
}

/** A credential whose tokens are revoked and refused at both Envoys. */
async function revokedEverywhere(setting: Setting, patienceMs?: number) {
  const mine = await live(setting)
  await revoke(setting, mine)
  for (const envoy of [setting.first, setting.second])
    await refusedAfter(envoy, mine.token, performance.now(), patienceMs)
  return mine
}

/** As a physical copy, after every connection was cut. */
async function copyDatabase({ postgres }: Setting, from: string, to: string): Promise<void> {
  const run = (statement: string) => postgres.sql(statement, [], 'postgres')
  const closed = (database: string) =>
    run(`UPDATE pg_database SET datallowconn = datname <> '${database}' WHERE datname <> 'template0'`)
  await run(`DROP DATABASE IF EXISTS ${to} WITH (FORCE)`)
  await closed(from)
  await run(`SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '${from}'`)
  await run(`CREATE DATABASE ${to} TEMPLATE ${from}`)
  await run("UPDATE pg_database SET datallowconn = true WHERE datname <> 'template0'")
}

/** The last one: everything but the gateways is stopped. */
export async function checkWithoutMintmark(checks: Checks, setting: Setting): Promise<void> {
  const envoys = [setting.first, setting.second]
  const other = await live(setting)
  const mine = await revokedEverywhere(setting)
  await setting.mintmark.process.kill()
  await setting.postgres.kill()
  await sleep(5_000)
  const statuses = (token: string) => Promise.all(envoys.map(envoy => statusOf(envoy, token)))
  await checks.equal(
    'Mintmark and Postgres are stopped: it is refused, others are not',
    [
      [401, 401],
      [200, 200],
    ],
    async () => [await statuses(mine.token), await statuses(other.token)],
  )
}
