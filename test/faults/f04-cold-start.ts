import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../support/free-port.ts'
import { until } from '../support/until.ts'
import { type Experiment, now, PATIENCE_MS } from './environment/environment.ts'
import { fillKeys } from './environment/known-keys.ts'
import { streams } from './environment/load.ts'
import { reportExchanges } from './environment/outage.ts'
import { replicaAt, startReplicaProcess, unknownKey } from './environment/replica.ts'
import { WHY } from './environment/report.ts'

/** A replica is started while Postgres is down: it knows no key, and must answer 503 rather than reject any. */
export const experiment: Experiment = {
  id: 'F4',
  title: 'A replica started while Postgres is down',
  run: async environment => {
    const { report } = environment
    const postgres = await environment.postgres()
    const keys = await fillKeys(postgres, 100)
    const secrets = keys.map(({ secret }) => secret)
    const first = await environment.replica(postgres.applicationUrl())
    const load = environment.load(streams.known([first], secrets, { perSecond: 200, connections: 20 }))
    await postgres.kill()

    const ports = {
      public: await freePort(),
      admin: await freePort(),
      gateway: await freePort(),
      gatewayGrpc: await freePort(),
      ops: await freePort(),
    }
    const process = startReplicaProcess(postgres.applicationUrl(), {
      MINTMARK_PUBLIC_PORT: `${ports.public}`,
      MINTMARK_ADMIN_PORT: `${ports.admin}`,
      MINTMARK_GATEWAY_PORT: `${ports.gateway}`,
      MINTMARK_GATEWAY_GRPC_PORT: `${ports.gatewayGrpc}`,
      MINTMARK_OPS_PORT: `${ports.ops}`,
    })
    environment.onEnd(() => process.kill())
    const at = (port: number) => `http://127.0.0.1:${port}`
    const urls = {
      public: at(ports.public),
      admin: at(ports.admin),
      gateway: at(ports.gateway),
      gatewayGrpc: at(ports.gatewayGrpc),
      ops: at(ports.ops),
    }
    const cold = replicaAt(process, urls)
    // Until its first attempt the reason is "starting".
    await until(
      'it has tried the database',
      () => cold.get(`${urls.ops}/readyz`),
      ({ status, body }) => status === 503 && body?.reason !== 'starting',
      PATIENCE_MS,
    )

    const begun = now()
    const seen = { ready: 0, answers: 0, right: 0, alive: 0, slowest: 0 }
    while (now() - begun < environment.outageMs) {
      const { status, body } = await cold.get(`${urls.ops}/readyz`)
      if (status !== 503 || !/database/i.test(body?.reason)) seen.ready++
      if ((await cold.get(`${urls.ops}/livez`)).status === 200) seen.alive++
      const answers = [
        await cold.exchange(secrets[0] ?? ''),
        await cold.exchange(unknownKey()),
        await cold.get(`${urls.public}/.well-known/jwks.json`),
        await cold.admin('GET', '/tenants'),
      ]
      seen.answers += answers.length
      seen.right += answers.filter(answer => answer.status === 503 && answer.headers['retry-after']).length
      seen.slowest = Math.max(seen.slowest, ...answers.map(({ ms }) => ms))
      await sleep(250)
    }
    report.invariant('/readyz other than 503 with the reason', seen.ready, { exactly: 0, why: WHY.honest })
    const what = 'answers, of known and unknown keys, JWKS and admin'
    report.invariant(what, seen.answers, { atLeast: 20, why: WHY.carriedOut })
    report.invariant(`${what}, other than 503 with Retry-After`, seen.answers - seen.right, {
      exactly: 0,
      why: WHY.honest,
    })
    report.measurement(`${what}, the slowest`, seen.slowest, { atMost: 1_000, unit: 'ms' })
    report.holds(
      'alive all the time, in one process',
      seen.alive * 4 === seen.answers && process.child.exitCode === null,
      WHY.recovers,
    )

    await postgres.start()
    const back = now()
    await process.ready(PATIENCE_MS)
    report.promise('ready after Postgres answers again', (now() - back) / 1000, {
      usually: 5,
      atMost: 60,
      unit: 's',
      why: WHY.recovers,
    })
    const exchanged = await Promise.all(secrets.map(secret => cold.exchange(secret)))
    report.invariant(
      'known keys that it then exchanges',
      exchanged.filter(({ status }) => status === 200).length,
      { exactly: 100, why: WHY.recovers },
    )
    // At the replica that was started before.
    reportExchanges(report, (await load.stop())('known'), { atLeast: 100 })
  },
}
