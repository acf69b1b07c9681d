import { setTimeout as sleep } from 'node:timers/promises'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'
import { fillKeys } from './scene/known-keys.ts'
import { streams } from './scene/load.ts'
import { connectionsOf } from './scene/outage.ts'
import { nobodysKey } from './scene/replica.ts'
import { type Experiment, now } from './scene/scene.ts'

/** Each answer of Postgres comes 300 ms late, then 2 s late, and then in time again. */
export const experiment: Experiment = {
  id: 'F6',
  title: 'A slow Postgres: 300 ms, then 2 s a query',
  run: async scene => {
    const { report } = scene
    const postgres = await scene.postgres()
    const keys = await fillKeys(postgres, 1_000)
    const proxy = await TcpProxy.before(postgres.applicationUrl())
    scene.onEnd(() => proxy.close())
    const replica = await scene.replica(proxy.url)
    const few = { perSecond: 20, connections: 50 }
    const load = scene.load(
      streams.known(
        [replica],
        keys.map(({ secret }) => secret),
        { perSecond: 500, connections: 50 },
      ),
      streams.unknown([replica], few),
      streams.adminReads([replica], few),
    )
    await sleep(2_000)
    const spans: [string, number, number][] = []
    for (const delayMs of [300, 2_000]) {
      const from = now()
      proxy.delayMs = delayMs
      await sleep(scene.outageMs / 2)
      spans.push([`${delayMs} ms`, from, now()])
    }
    const connections = await connectionsOf(postgres)
    proxy.delayMs = 0
    const back = now()
    await until(
      'all is well',
      () => replica.admin('GET', '/tenants'),
      ({ status }) => status === 200,
    )
    await until(
      'keys are looked up',
      () => replica.exchange(nobodysKey()),
      ({ status }) => status === 401,
    )
    const wellAfter = now() - back
    await sleep(2_000)
    const answered = await load.stop()
    const known = answered('known')
    report.check('exchanges of known keys', known.count, { atLeast: 1_000 })
    report.check('of them failed', known.failing(200).count, { exactly: 0 })
    for (const [name, from, to] of spans) {
      const percentile = known.between(from, to).quantile(0.99)
      report.checkPercentile(`their 99th percentile at ${name}`, percentile, 25)
      for (const stream of ['unknown', 'adminReads'] as const) {
        const samples = answered(stream).between(from + 1_000, to - 1_000)
        const right = stream === 'unknown' ? [401, 503] : [200, 503]
        const wrong = samples.all.filter(
          ({ status, retryAfter }) => !right.includes(status) || (status === 503) !== retryAfter,
        )
        const what = stream === 'unknown' ? 'unknown keys' : 'admin reads'
        report.check(
          `${what} at ${name} answered otherwise than ${right[0]}, or 503 with Retry-After`,
          wrong.length,
          { exactly: 0 },
        )
        report.note(`${what} at ${name}`, samples.statuses)
        report.check(`${what} at ${name}, the slowest`, samples.quantile(1), { atMost: 1_000 }, 'ms')
      }
    }
    report.check('connections at the end of it', connections, { atMost: 20 })
    report.check('well again after', wellAfter / 1000, { atMost: 5 }, 's')
  },
}
