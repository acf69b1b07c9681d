import { spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { startPgBouncer } from '../support/pgbouncer.ts'
import { fillKeys } from './scene/known-keys.ts'
import { Ledger } from './scene/ledger.ts'
import { streams } from './scene/load.ts'
import { reportRevocations, revokeAll } from './scene/revocation.ts'
import type { Experiment } from './scene/scene.ts'

/** All queries go through PgBouncer in transaction mode; one replica has a direct connection for LISTEN, one has not. */
export const experiment: Experiment = {
  id: 'F10',
  title: 'PgBouncer in transaction mode',
  lacks: () =>
    spawnSync('pgbouncer', ['--version']).status === 0
      ? undefined
      : 'pgbouncer is not installed (scripts/install-judges.sh)',
  run: async scene => {
    const { report } = scene
    const postgres = await scene.postgres()
    const count = scene.full ? 100 : 25
    const keys = await fillKeys(postgres, 1_000 + 2 * count)
    const pooler = await startPgBouncer(postgres.ownerUrl, postgres.applicationUrl())
    scene.onEnd(() => pooler.stop())
    const pooled = pooler.through(postgres.applicationUrl())
    const direct = await scene.replica(pooled, { DATABASE_URL_DIRECT: postgres.applicationUrl() })
    const polling = await scene.replica(pooled)
    const ledger = new Ledger(polling, { perSecond: 5 })
    const secrets = keys.slice(2 * count).map(({ secret }) => secret)
    const load = scene.load(
      streams.known([direct, polling], secrets, { perSecond: 300, connections: 30 }),
      streams.unknown([direct, polling], { perSecond: 20, connections: 20 }),
    )
    ledger.start()
    // By then everybody listens.
    await sleep(1_000)
    reportRevocations(
      report,
      'seen by LISTEN past the pooler',
      await revokeAll(keys.slice(0, count), polling, [direct]),
      { p99: 250, slowest: 1_000 },
    )
    reportRevocations(
      report,
      'seen by polling through the pooler',
      await revokeAll(keys.slice(count, 2 * count), direct, [polling]),
      { slowest: 1_000 },
    )
    const written = await ledger.stop()
    const answered = await load.stop()
    const known = answered('known')
    report.check('exchanges of known keys', known.count, { atLeast: 500 })
    report.check('of them failed', known.failing(200).count, { exactly: 0 })
    report.check('unknown keys other than 401', answered('unknown').failing(401).count, { exactly: 0 })
    report.check(
      'changes through the pooler that failed',
      written.all.filter(({ status }) => status >= 300).length,
      { exactly: 0 },
    )
    const lost = [...(await ledger.lost(direct)), ...(await ledger.lost(polling))]
    report.check('acknowledged changes that a replica does not honour', lost.length, { exactly: 0 })
    const warnings = polling.process.logged('changes are not notified: polling every 500 ms')
    report.check('warnings of the replica that hears nothing', warnings.length, { exactly: 1 })
  },
}
