import { setTimeout as sleep } from 'node:timers/promises'
import { verifyDatabase } from '../../src/audit/audit-upkeep.ts'
import { Database } from '../../src/database/database.ts'
import { systemClock } from '../../src/system/clock.ts'
import { createLogger } from '../../src/system/logger.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'
import { type Experiment, PATIENCE_MS } from './environment/environment.ts'
import type { Postgres } from './environment/postgres.ts'
import { ADMIN_HEADERS } from './environment/replica.ts'
import { WHY } from './environment/report.ts'

const WRITES = 200
const WORKERS = 4
const ENOUGH = 20

/** The acknowledged writes: id by name. */
interface Written {
  acknowledged: Map<string, string>
  attempts: number
  /** Writes of which the first response was lost after the commit. */
  unknown: number
}

/**
 * 200 keyed writes, each repeated until it is acknowledged, while Postgres and all its children are killed with kill -9
 * at random; every second time just after a COMMIT was executed and before its response arrives.
 */
export const experiment: Experiment = {
  id: 'F28',
  title: 'kill -9 of Postgres during keyed writes',
  run: async environment => {
    const { report } = environment
    const postgres = await environment.postgres()
    const proxy = await TcpProxy.before(postgres.applicationUrl())
    environment.onEnd(() => proxy.close())
    const { urls } = await environment.replica(proxy.url)
    const written: Written = { acknowledged: new Map(), attempts: 0, unknown: 0 }
    await write(urls.admin, '/tenants', { id: 'acme' }, 'tenant', written)
    const [kills] = await Promise.all([
      disturb(postgres, proxy, written.acknowledged),
      ...workers(name => write(urls.admin, '/tenants/acme/keys', { name }, name, written)),
    ])
    written.acknowledged.delete('tenant')
    report.invariant('times that Postgres was killed', kills, { atLeast: 5, why: WHY.carriedOut })
    report.invariant('writes acknowledged', written.acknowledged.size, {
      exactly: WRITES,
      why: WHY.recovers,
    })
    report.note('attempts', written.attempts)
    report.invariant('writes committed whose first answer was lost', written.unknown, {
      atLeast: 1,
      why: WHY.carriedOut,
    })
    const faults = await compare(postgres, written.acknowledged)
    report.invariant('keys in Postgres', faults.keys, { exactly: WRITES, why: WHY.nothingLost })
    report.invariant('keys in Postgres that are not those acknowledged', faults.others, {
      exactly: 0,
      why: WHY.nothingLost,
    })
    report.invariant('keys in Postgres without exactly one audit row', faults.audits, {
      exactly: 0,
      why: WHY.audited,
    })
    report.holds('the audit chain verifies', await verifies(postgres), WHY.audited)
  },
}

function workers(write: (name: string) => Promise<void>): Promise<void>[] {
  const waiting = Array.from({ length: WRITES }, (_, index) => `write-${index}`)
  return Array.from({ length: WORKERS }, async () => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) await write(name)
  })
}

async function write(
  admin: string,
  path: string,
  body: object,
  name: string,
  written: Written,
): Promise<void> {
  const attempt = async () => {
    written.attempts++
    const answer = await fetch(`${admin}/admin/v1${path}`, {
      method: 'POST',
      headers: { ...ADMIN_HEADERS, 'idempotency-key': name },
      body: JSON.stringify(body),
    })
    return { answer, body: (await answer.json()) as { id: string; secret?: string } }
  }
  const done = await until(`${name} is acknowledged`, attempt, ({ answer }) => answer.ok, 60_000)
  if (done.answer.headers.get('idempotency-replayed') !== null) written.unknown++
  written.acknowledged.set(name, done.body.id)
}

/** Returns how often Postgres was killed. */
async function disturb(
  postgres: Postgres,
  proxy: TcpProxy,
  acknowledged: ReadonlyMap<string, string>,
): Promise<number> {
  let kills = 0
  for (;;) {
    const next = acknowledged.size + 5 + Math.floor(Math.random() * 30)
    // Enough are left then that one of them makes the COMMIT that is waited for.
    if (next >= WRITES - ENOUGH) return kills
    await until('some more are written', () => acknowledged.size >= next, Boolean, PATIENCE_MS)
    if (kills % 2 === 0) {
      // As Kysely spells it, and whole: `synchronous_commit` is another statement.
      await proxy.holdAnswerTo('commit\0')
      await until('it is committed', () => proxy.holding > 0, Boolean, PATIENCE_MS)
    } else await sleep(Math.random() * 30)
    await postgres.kill()
    kills++
    await postgres.start()
  }
}

async function compare(postgres: Postgres, acknowledged: ReadonlyMap<string, string>) {
  const rows = await postgres.sql<{ id: string; name: string; audits: number }>(
    `SELECT k.id, k.name, (SELECT count(*)::int FROM audit_events AS a
       WHERE a.target_id = k.id AND a.action = 'key.create') AS audits FROM api_keys AS k`,
  )
  return {
    keys: rows.length,
    others: rows.filter(({ id, name }) => acknowledged.get(name) !== id).length,
    audits: rows.filter(({ audits }) => audits !== 1).length,
  }
}

async function verifies(postgres: Postgres): Promise<boolean> {
  const database = new Database({ url: postgres.ownerUrl, maxConnections: 1, logger: createLogger('silent') })
  try {
    const found = await verifyDatabase(database, [], systemClock)
    return found.findings.length === 0 && found.rows >= WRITES
  } finally {
    await database.close()
  }
}
