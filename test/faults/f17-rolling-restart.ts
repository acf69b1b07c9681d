import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Experiment, now, type Scene } from './scene/environment.ts'
import { fillKeys } from './scene/known-keys.ts'
import { streams } from './scene/load.ts'
import { reportExchanges } from './scene/outage.ts'
import type { Replica } from './scene/replica.ts'
import { WHY } from './scene/report.ts'

const REPLICAS = 3
const EXCHANGES_PER_SECOND = 300

/** One replica after another is replaced by a new process, behind a load balancer that sends no request twice. */
export const experiment: Experiment = {
  id: 'F17',
  title: 'Rolling restart of three replicas at 300/s',
  run: async scene => {
    const { report } = scene
    const postgres = await scene.postgres()
    const keys = await fillKeys(postgres, 1_000)
    const start = () => scene.replica(postgres.applicationUrl())
    const replicas: Replica[] = []
    while (replicas.length < REPLICAS) replicas.push(await start())
    const balancer = await startBalancer(scene, replicas)
    const load = scene.load(
      streams.known(
        [balancer.front],
        keys.map(({ secret }) => secret),
        {
          perSecond: scene.rate(EXCHANGES_PER_SECOND),
          connections: 50,
        },
      ),
    )
    await sleep(2_000)
    const rounds = scene.full ? 3 : 1
    let [slowestEnd, unclean] = [0, 0]
    for (let count = 0; count < rounds * REPLICAS; count++) {
      const old = replicas.shift() as Replica
      const stopped = now()
      old.process.child.kill('SIGTERM')
      const { code } = await old.process.exited
      if (code !== 0) unclean++
      slowestEnd = Math.max(slowestEnd, now() - stopped)
      replicas.push(await start())
      balancer.use(replicas)
      await sleep(1_000)
    }
    report.note('processes replaced', rounds * REPLICAS)
    report.invariant('processes that ended other than with 0', unclean, { exactly: 0, why: WHY.recovers })
    report.promise('the slowest to end', slowestEnd / 1000, {
      usually: 10,
      atMost: 30,
      unit: 's',
      why: WHY.bounded,
    })
    reportExchanges(report, (await load.stop())('known'), { atLeast: 100, p99: 50, slowest: 1_000 })
  },
}

async function startBalancer(scene: Scene, replicas: readonly Replica[]) {
  const balancer: ChildProcess = fork(new URL('scene/round-robin.ts', import.meta.url))
  scene.onEnd(() => balancer.kill('SIGKILL'))
  const [port] = (await once(balancer, 'message')) as [number]
  const use = (now: readonly Replica[]) => balancer.send(now.map(({ urls }) => urls))
  use(replicas)
  const [first] = replicas as [Replica]
  const front: Replica = { ...first, urls: { ...first.urls, public: `http://127.0.0.1:${port}` } }
  return { use, front }
}
