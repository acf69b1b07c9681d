import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../support/free-port.ts'
import { until } from '../support/until.ts'
import { fillKeys } from './scene/known-keys.ts'
import { streams } from './scene/load.ts'
import { nobodysKey, replicaAt, startReplicaProcess } from './scene/replica.ts'
import { type Experiment, now } from './scene/scene.ts'

/** A replica is started while Postgres is away: it knows nobody, and must say so rather than refuse anybody. */
export const experiment: Experiment = {
  id: 'F4',
  title: 'A replica started while Postgres is away',
  run: async scene => {
    const { report } = scene
    const postgres = await scene.postgres()
    const keys = await fillKeys(postgres, 100)
    const secrets = keys.map(({ secret }) => secret)
    const first = await scene.replica(postgres.applicationUrl())
    const load = scene.load(streams.known([first], secrets, { perSecond: 200, connections: 20 }))
    await postgres.kill()

    const ports = { public: await freePort(), admin: await freePort(), ops: await freePort() }
    const process = startReplicaProcess(postgres.applicationUrl(), {
      MINTMARK_PUBLIC_PORT: `${ports.public}`,
      MINTMARK_ADMIN_PORT: `${ports.admin}`,
      MINTMARK_GATEWAY_PORT: '0',
      MINTMARK_GATEWAY_GRPC_PORT: '0',
      MINTMARK_OPS_PORT: `${ports.ops}`,
    })
    scene.onEnd(() => process.kill())
    const at = (port: number) => `http://127.0.0.1:${port}`
    const urls = { public: at(ports.public), admin: at(ports.admin), ops: at(ports.ops) }
    const cold = replicaAt(process, urls)
    await until(
      'it listens',
      () => cold.get(`${urls.ops}/livez`),
      ({ status }) => status === 200,
    )

    const begun = now()
    const seen = { ready: 0, answers: 0, right: 0, alive: 0, slowest: 0 }
    while (now() - begun < scene.outageMs) {
      const { status, body } = await cold.get(`${urls.ops}/readyz`)
      if (status !== 503 || !/database/i.test(body?.reason)) seen.ready++
      if ((await cold.get(`${urls.ops}/livez`)).status === 200) seen.alive++
      const answers = [
        await cold.exchange(secrets[0] ?? ''),
        await cold.exchange(nobodysKey()),
        await cold.get(`${urls.public}/.well-known/jwks.json`),
        await cold.admin('GET', '/tenants'),
      ]
      seen.answers += answers.length
      seen.right += answers.filter(answer => answer.status === 503 && answer.headers['retry-after']).length
      seen.slowest = Math.max(seen.slowest, ...answers.map(({ ms }) => ms))
      await sleep(250)
    }
    report.check('/readyz other than 503 with the reason', seen.ready, { exactly: 0 })
    report.check('answers, of known and unknown keys, JWKS and admin', seen.answers, { atLeast: 100 })
    report.check('of them 503 with Retry-After', seen.right, { exactly: seen.answers })
    report.check('the slowest', seen.slowest, { atMost: 1_000 }, 'ms')
    report.holds(
      'alive all the time, in one process',
      seen.alive * 4 === seen.answers && process.child.exitCode === null,
    )

    await postgres.start()
    const back = now()
    await process.ready(30_000)
    report.check('ready after Postgres answers again', (now() - back) / 1000, { atMost: 5 }, 's')
    const exchanged = await Promise.all(secrets.map(secret => cold.exchange(secret)))
    report.check(
      'known keys that it then exchanges',
      exchanged.filter(({ status }) => status === 200).length,
      { exactly: 100 },
    )
    const known = (await load.stop())('known')
    report.check('exchanges at the replica that was there before', known.count, { atLeast: 1_000 })
    report.check('of them failed', known.failing(200).count, { exactly: 0 })
  },
}
