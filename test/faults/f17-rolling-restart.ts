import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Environment, type Experiment, now } from './environment/environment.ts'
import { fillKeys } from './environment/known-keys.ts'
import { streams } from './environment/load.ts'
import { reportExchanges } from './environment/outage.ts'
import type { Replica } from './environment/replica.ts'
import { WHY } from './environment/report.ts'

const REPLICAS = 3
const EXCHANGES_PER_SECOND = 300

/** Replicas are replaced one after the other by new processes, behind a load balancer that sends no request twice. */
export const experiment: Experiment = {
  id: 'F17',
  title: 'Rolling restart of three replicas at 300/s',
  run: async environment => {
    const { report } = environment
    const postgres = await environment.postgres()
    const keys = await fillKeys(postgres, 1_000)
    const start = () => environment.replica(postgres.applicationUrl())
    const replicas: Replica[] = []
    while (replicas.length < REPLICAS) replicas.push(await start())
    const balancer = await startBalancer(environment, replicas)
    const load = environment.load(
      streams.known(
        [balancer.front],
        keys.map(({ secret }) => secret),
        {
          perSecond: environment.rate(EXCHANGES_PER_SECOND),
          connections: 50,
        },
      ),
    )
    await sleep(2_000)
    const rounds = environment.full ? 3 : 1
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

async function startBalancer(environment: Environment, replicas: readonly Replica[]) {
  const balancer: ChildProcess = fork(new URL('environment/round-robin.ts', import.meta.url))
  environment.onEnd(() => balancer.kill('SIGKILL'))
  const [port] = (await once(balancer, 'message')) as [number]
  const use = (now: readonly Replica[]) => balancer.send(now.map(({ urls }) => urls))
  use(replicas)
  const [first] = replicas as [Replica]
  const front: Replica = { ...first, urls: { ...first.urls, public: `http://127.0.0.1:${port}` } }
  return { use, front }
}
