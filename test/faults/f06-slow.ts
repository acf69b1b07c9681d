import { setTimeout as sleep } from 'node:timers/promises'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'
import { type Experiment, now, PATIENCE_MS } from './environment/environment.ts'
import { fillKeys } from './environment/known-keys.ts'
import { streams } from './environment/load.ts'
import { connectionsOf, reportExchanges } from './environment/outage.ts'
import { unknownKey } from './environment/replica.ts'
import { WHY } from './environment/report.ts'

/** Responses of Postgres are delayed by 300 ms, then by 2 s, then not at all. */
export const experiment: Experiment = {
  id: 'F6',
  title: 'A slow Postgres: 300 ms, then 2 s a query',
  run: async environment => {
    const { report } = environment
    const postgres = await environment.postgres()
    const keys = await fillKeys(postgres, 1_000)
    const proxy = await TcpProxy.before(postgres.applicationUrl())
    environment.onEnd(() => proxy.close())
    const replica = await environment.replica(proxy.url)
    const few = { perSecond: 20, connections: 50 }
    const load = environment.load(
      streams.known(
        [replica],
        keys.map(({ secret }) => secret),
        { perSecond: environment.rate(500), connections: 50 },
      ),
      streams.unknown([replica], few),
      streams.adminReads([replica], few),
    )
    await sleep(2_000)
    const spans: [string, number, number][] = []
    for (const delayMs of [300, 2_000]) {
      const from = now()
      proxy.delayMs = delayMs
      await sleep(environment.outageMs / 2)
      spans.push([`${delayMs} ms`, from, now()])
    }
    const connections = await connectionsOf(postgres)
    proxy.delayMs = 0
    const back = now()
    await until(
      'all is well',
      () => replica.admin('GET', '/tenants'),
      ({ status }) => status === 200,
      PATIENCE_MS,
    )
    await until(
      'keys are looked up',
      () => replica.exchange(unknownKey()),
      ({ status }) => status === 401,
      PATIENCE_MS,
    )
    const wellAfter = now() - back
    await sleep(2_000)
    const answered = await load.stop()
    const known = answered('known')
    reportExchanges(report, known, { atLeast: 100 })
    for (const [name, from, to] of spans) {
      const percentile = known.between(from, to).quantile(0.99)
      report.measurement(`exchanges of known keys at ${name}, 99th percentile`, percentile, {
        atMost: 25,
        unit: 'ms',
      })
      for (const stream of ['unknown', 'adminReads'] as const) {
        const samples = answered(stream).between(from + 1_000, to - 1_000)
        const right = stream === 'unknown' ? 401 : 200
        const what = stream === 'unknown' ? 'unknown keys' : 'admin reads'
        report.invariant(
          `${what} at ${name} other than ${right}, or 503 with Retry-After`,
          samples.wrong(right).count,
          { exactly: 0, why: WHY.honest },
        )
        report.note(`${what} at ${name}`, samples.statuses)
        report.measurement(`${what} at ${name}, the slowest`, samples.quantile(1), {
          atMost: 1_000,
          unit: 'ms',
        })
      }
    }
    report.promise('connections at the end of it', connections, {
      usually: 20,
      atMost: 50,
      unit: '',
      why: WHY.bounded,
    })
    report.promise('everything is answered again after', wellAfter / 1000, {
      usually: 5,
      atMost: 60,
      unit: 's',
      why: WHY.recovers,
    })
  },
}
