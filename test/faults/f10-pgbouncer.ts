import { spawnSync } from 'node:child_process'
import { startPgBouncer } from '../support/pgbouncer.ts'
import { until } from '../support/until.ts'
import { type Experiment, PATIENCE_MS } from './environment/environment.ts'
import { fillKeys } from './environment/known-keys.ts'
import { Ledger } from './environment/ledger.ts'
import { streams } from './environment/load.ts'
import { reportExchanges } from './environment/outage.ts'
import { WHY } from './environment/report.ts'
import { allListen, reportRevocations, revokeAll } from './environment/revocation.ts'

/**
 * All queries pass through PgBouncer in transaction mode; one replica has a direct connection for LISTEN, one does not.
 */
export const experiment: Experiment = {
  id: 'F10',
  title: 'PgBouncer in transaction mode',
  lacks: () =>
    spawnSync('pgbouncer', ['--version']).status === 0
      ? undefined
      : 'pgbouncer is not installed (scripts/install-test-tools.sh)',
  run: async environment => {
    const { report } = environment
    const postgres = await environment.postgres()
    const count = environment.full ? 100 : 25
    const keys = await fillKeys(postgres, 1_000 + 2 * count)
    const pooler = await startPgBouncer(postgres.ownerUrl, postgres.applicationUrl())
    environment.onEnd(() => pooler.stop())
    const pooled = pooler.through(postgres.applicationUrl())
    const direct = await environment.replica(pooled, { DATABASE_URL_DIRECT: postgres.applicationUrl() })
    const polling = await environment.replica(pooled)
    const ledger = new Ledger(polling, { perSecond: 5 })
    const secrets = keys.slice(2 * count).map(({ secret }) => secret)
    const load = environment.load(
      streams.known([direct, polling], secrets, { perSecond: environment.rate(300), connections: 30 }),
      streams.unknown([direct, polling], { perSecond: 20, connections: 20 }),
    )
    ledger.start()
    await allListen([direct])
    reportRevocations(
      report,
      'seen by LISTEN past the pooler',
      await revokeAll(keys.slice(0, count), polling, [direct]),
      { p99: 250, enforced: 1_000 },
    )
    reportRevocations(
      report,
      'seen by polling through the pooler',
      await revokeAll(keys.slice(count, 2 * count), direct, [polling]),
      { enforced: 2_000 },
    )
    const written = await ledger.stop()
    const answered = await load.stop()
    reportExchanges(report, answered('known'), { atLeast: 100 })
    const unknown = answered('unknown')
    report.invariant('unknown keys other than 401, or 503 with Retry-After', unknown.wrong(401).count, {
      exactly: 0,
      why: WHY.honest,
    })
    report.measurement('unknown keys that were 503', unknown.honest.count, { exactly: 0 })
    report.invariant('changes acknowledged through the pooler', ledger.acknowledged, {
      atLeast: 10,
      why: WHY.carriedOut,
    })
    report.invariant(
      'changes through the pooler other than acknowledged, or 503 with Retry-After',
      written.wrong(200, 201).count,
      { exactly: 0, why: WHY.honest },
    )
    report.measurement('changes through the pooler that were 503', written.honest.count, { exactly: 0 })
    const lost = [...(await ledger.lost(direct)), ...(await ledger.lost(polling))]
    report.invariant('acknowledged changes that a replica does not honour', lost.length, {
      exactly: 0,
      why: WHY.nothingLost,
    })
    const warnings = () =>
      polling.process.logged('LISTEN does not deliver notifications; polling every 500 ms').length
    const warned = await until('it warns', warnings, Boolean, PATIENCE_MS).catch(warnings)
    report.invariant('warnings of the replica that is not notified', warned, {
      atLeast: 1,
      why: WHY.said,
    })
  },
}
