import { setTimeout as sleep } from 'node:timers/promises'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'
import { type Environment, type Experiment, now, PATIENCE_MS } from './environment/environment.ts'
import { fillKeys, type Key, TENANT } from './environment/known-keys.ts'
import { Ledger } from './environment/ledger.ts'
import { streams } from './environment/load.ts'
import { reportExchanges } from './environment/outage.ts'
import type { Postgres } from './environment/postgres.ts'
import type { Replica } from './environment/replica.ts'
import { WHY } from './environment/report.ts'

/** Changes before the failover with a synchronous standby. */
const WRITTEN = 50

/** A primary with a streaming standby, and the address that leads applications to the current primary. */
interface Pair {
  primary: Postgres
  standby: Postgres
  address: TcpProxy & { url: string }
  /** Replication to the standby passes through it. */
  stream: TcpProxy
  keys: Key[]
}

/**
 * The primary dies and its standby is promoted. Without synchronous replication it lacks the last acknowledged changes:
 * replicas, which have applied them, must notice, follow the new primary, and report what was lost. With it no
 * acknowledged change may be lost.
 */
export const experiment: Experiment = {
  id: 'F5',
  title: 'Failover to a promoted standby',
  run: async environment => {
    await asynchronous(environment)
    await synchronous(environment)
  },
}

async function asynchronous(environment: Environment): Promise<void> {
  const { report } = environment
  const pair = await startPair(environment)
  const replica = await environment.replica(pair.address.url)
  const [revoked, disabled, ...known] = pair.keys as [Key, Key, ...Key[]]
  const secrets = known.map(({ secret }) => secret)
  const load = environment.load(streams.known([replica], secrets, { perSecond: 200, connections: 20 }))
  await sleep(1_000)
  await caughtUp(pair)

  await pair.stream.become('freeze')
  const made = await Promise.all([1, 2, 3].map(() => replica.change(`/tenants/${TENANT}/keys`, {})))
  const lost = made.map(({ body }): Key => ({ id: body.id, secret: body.secret }))
  const taken = [
    await replica.change(`/keys/${revoked.id}/revoke`, {}),
    await replica.change(`/keys/${disabled.id}/disable`, {}),
  ]
  const acknowledged = [...made, ...taken].filter(({ status }) => status < 300).length
  report.invariant('acknowledged changes that the standby lacks', acknowledged, {
    exactly: 5,
    why: WHY.carriedOut,
  })

  await until(
    'the replica knows them',
    async () => {
      const asked = [...lost, revoked, disabled].map(({ secret }) => replica.exchange(secret))
      return (await Promise.all(asked)).map(({ status }) => status).join()
    },
    statuses => statuses === '200,200,200,401,400',
    PATIENCE_MS,
  )
  await failOver(pair)
  // The new primary assigns the same numbers to other changes before any replica has polled.
  for (let count = 0; count < acknowledged; count++) await appendUnseen(pair.standby)
  const back = now()
  pair.address.leadTo(pair.standby.ownerUrl)
  const told = () =>
    replica.process.logged('directory reloaded')[0] as
      | { gone: string[]; come: string[]; changed?: string[] }
      | undefined
  const line = await until('the replica reloads its directory', told, Boolean, PATIENCE_MS)
  report.promise('noticed by the position, and all read again, after', (now() - back) / 1000, {
    usually: 5,
    atMost: 60,
    unit: 's',
    why: WHY.recovers,
  })
  const listed = [...(line?.gone ?? []), ...(line?.come ?? []), ...(line?.changed ?? [])]
  const gone = [...lost, revoked, disabled].filter(({ id }) => !listed.includes(id))
  report.invariant('of the lost changes, those not named in the log', gone.length, {
    exactly: 0,
    why: WHY.said,
  })
  report.invariant('keys named in the log that lost nothing', listed.length - 5 + gone.length, {
    exactly: 0,
    why: WHY.said,
  })
  const stillBelieved = await Promise.all(lost.map(({ secret }) => replica.exchange(secret)))
  report.invariant(
    'keys that were lost and are exchanged all the same',
    stillBelieved.filter(({ status }) => status === 200).length,
    { exactly: 0, why: WHY.said },
  )
  const ended = await Promise.all([revoked, disabled].map(({ secret }) => replica.exchange(secret)))
  report.invariant(
    'keys that were revoked or disabled in the lost changes, and are exchanged again',
    ended.filter(({ status }) => status === 200).length,
    { exactly: 0, why: WHY.revoked },
  )
  const again = await replica.change(`/keys/${revoked.id}/revoke`, {})
  const refused = await replica.exchange(revoked.secret)
  report.holds(
    'what was lost can be done again',
    again.status === 200 && refused.status === 401,
    WHY.recovers,
  )
  await sleep(1_000)
  // Two of the seconds are waiting time, however fast the rest is.
  reportExchanges(report, (await load.stop())('known'), { atLeast: 100, slowest: 1_000 })
}

async function synchronous(environment: Environment): Promise<void> {
  const { report } = environment
  const pair = await startPair(environment)
  await pair.primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
  await pair.primary.sql('SELECT pg_reload_conf()')
  await until(
    'it is synchronous',
    () => pair.primary.sql("SELECT FROM pg_stat_replication WHERE sync_state = 'sync'"),
    rows => rows.length === 1,
    PATIENCE_MS,
  )
  const replica = await environment.replica(pair.address.url)
  const ledger = new Ledger(replica, { perSecond: 50 })
  ledger.start()
  await until('some are written', () => ledger.acknowledged >= WRITTEN, Boolean, PATIENCE_MS)
  await failOver(pair)
  await pair.standby.sql("ALTER SYSTEM SET synchronous_standby_names = ''")
  await pair.standby.sql('SELECT pg_reload_conf()')
  pair.address.leadTo(pair.standby.ownerUrl)
  const before = ledger.acknowledged
  await until('it is written again', () => ledger.acknowledged > before + 5, Boolean, PATIENCE_MS)
  await ledger.stop()
  report.invariant('acknowledged with a synchronous standby, under writes', ledger.acknowledged, {
    atLeast: WRITTEN,
    why: WHY.carriedOut,
  })
  report.invariant(
    'acknowledged with a synchronous standby, and lost by the failover',
    (await lostEverywhere(environment, ledger, pair, replica)).length,
    { exactly: 0, why: WHY.nothingLost },
  )
}

/** At the replica that was running before, and at one that loads everything from the new primary. */
async function lostEverywhere(environment: Environment, ledger: Ledger, pair: Pair, replica: Replica) {
  const fresh = await environment.replica(pair.address.url)
  return [...(await ledger.lost(replica)), ...(await ledger.lost(fresh))]
}

async function startPair(environment: Environment): Promise<Pair> {
  const primary = await environment.postgres()
  const keys = await fillKeys(primary, 100)
  const stream = await TcpProxy.before(primary.ownerUrl)
  environment.onEnd(() => stream.become('none').then(() => stream.close()))
  const standby = environment.ending(await primary.standby(stream.url))
  const address = await TcpProxy.before(primary.applicationUrl())
  environment.onEnd(() => address.close())
  return { primary, standby, address, stream, keys }
}

async function caughtUp({ primary, standby }: Pair): Promise<void> {
  const [end] = await primary.sql<{ lsn: string }>('SELECT pg_current_wal_lsn()::text AS lsn')
  const replayed = () =>
    standby.sql<{ there: boolean }>('SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS there', [end?.lsn])
  await until('the standby has it all', replayed, ([row]) => row?.there === true, PATIENCE_MS)
}

async function failOver({ primary, standby }: Pair): Promise<void> {
  await primary.kill()
  await standby.sql('SELECT pg_promote()')
}

async function appendUnseen(postgres: Postgres): Promise<void> {
  await postgres.sql(`WITH next AS (UPDATE change_counter SET number = number + 1 RETURNING number)
    INSERT INTO change_feed (number, changes) SELECT number, '[{"kind": "tier", "id": "batch"}]' FROM next`)
}
