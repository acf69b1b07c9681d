import { setTimeout as sleep } from 'node:timers/promises'
import { scrape } from '../observability/metrics-text.ts'
import { until } from '../support/until.ts'
import { type Experiment, now, PATIENCE_MS } from './environment/environment.ts'
import { fillKeys } from './environment/known-keys.ts'
import { Ledger } from './environment/ledger.ts'
import { type Samples, streams } from './environment/load.ts'
import { reportExchanges } from './environment/outage.ts'
import { isThere } from './environment/processes.ts'
import type { Replica } from './environment/replica.ts'
import { WHY } from './environment/report.ts'

const CONNECTIONS = 50
/** A client may send a moment after the death of a process, before it learns that its connection is over. */
const EDGE_MS = 1_000

/** Two processes share the listeners: one after another is killed, then all are replaced. */
export const experiment: Experiment = {
  id: 'F33',
  title: 'One of two processes is killed, and both are replaced',
  run: async environment => {
    const { report } = environment
    const postgres = await environment.postgres()
    const keys = await fillKeys(postgres, 1_000)
    const replica = await environment.replica(postgres.applicationUrl(), { MINTMARK_PROCESSES: '2' })
    const { logged } = replica.process
    const pids = () => logged('process ready').map(({ pid }) => Number(pid))
    const begun = (count: number) =>
      until('the processes are ready', () => pids().length === count, Boolean, PATIENCE_MS)
    await begun(2)
    const ledger = new Ledger(replica, { perSecond: 5 })
    const load = environment.load(
      streams.known(
        [replica],
        keys.map(({ secret }) => secret),
        { perSecond: environment.rate(500), connections: CONNECTIONS },
      ),
      streams.ready([replica], { perSecond: 5, connections: 5 }),
    )
    ledger.start()
    const counting = watchCounter(replica)
    await sleep(2_000)
    const kills: number[] = []
    const count = environment.full ? 10 : 1
    for (let killed = 0; killed < count; killed++) {
      kills.push(now())
      // The oldest of the two that live.
      process.kill(pids().at(-2) ?? 0, 'SIGKILL')
      await begun(3 + killed)
      await sleep(EDGE_MS)
    }
    const fresh = environment.load({
      ...streams.known(
        [replica],
        keys.map(({ secret }) => secret),
        { perSecond: environment.rate(500), connections: CONNECTIONS, newConnections: true },
      ),
    })
    await sleep(EDGE_MS)
    const from = now()
    replica.process.child.kill('SIGHUP')
    await begun(4 + count)
    await sleep(EDGE_MS)
    const overNew = (await fresh.stop())('known')
    const written = await ledger.stop()
    const answered = await load.stop()
    const known = answered('known')
    const during = known.between(0, from)
    const failed = during.failing(200)

    report.invariant('processes killed', kills.length, { exactly: count, why: WHY.carriedOut })
    report.invariant('exchanges that failed while processes were killed', failed.count, {
      atMost: count * CONNECTIONS,
      why: WHY.knownKeys,
    })
    report.invariant('those that were sent more than a second after a kill', late(failed, kills), {
      exactly: 0,
      why: WHY.knownKeys,
    })
    report.measurement('those of one kill', failed.count / count, { atMost: 5 })
    report.invariant('/readyz other than 200', answered('ready').failing(200).count, {
      exactly: 0,
      why: WHY.recovers,
    })
    report.invariant('scrapes in which a counter was lower than before', await counting.stop(), {
      exactly: 0,
      why: WHY.said,
    })
    report.invariant(
      'deaths that the log does not name',
      count - logged('process ended unexpectedly').length,
      {
        exactly: 0,
        why: WHY.said,
      },
    )
    report.invariant('exchanges over new connections while all are replaced', overNew.count, {
      atLeast: 50,
      why: WHY.carriedOut,
    })
    report.invariant('those that failed', overNew.failing(200).count, { exactly: 0, why: WHY.knownKeys })
    report.note('administrative writes', written.count)
    report.invariant('acknowledged writes that were lost', (await ledger.lost(replica)).length, {
      exactly: 0,
      why: WHY.nothingLost,
    })
    const living = pids().slice(-2)
    await replica.process.kill()
    const left = () => living.filter(isThere).length
    await until('they end', () => left() === 0, Boolean, PATIENCE_MS).catch(() => {})
    report.invariant('processes that outlive their parent', left(), { exactly: 0, why: WHY.bounded })
    reportExchanges(report, known.between(from, Number.POSITIVE_INFINITY), { atLeast: 100, p99: 50 })
  },
}

/** Those that were due when no process had died within the second before. */
const late = (failed: Samples, kills: readonly number[]): number =>
  failed.all.filter(({ at, ms }) => !kills.some(kill => at < kill + EDGE_MS && at + ms > kill)).length

/** Reads the exchanges counted so far again and again; `stop` returns how often there were fewer. */
function watchCounter(replica: Replica): { stop(): Promise<number> } {
  let [over, last, fewer] = [false, 0, 0]
  const watching = async () => {
    while (!over) {
      const { series } = await scrape(replica.urls.ops)
      const count = series.get('mintmark_exchanges_total{outcome="ok"}') ?? 0
      if (count < last) fewer++
      last = count
      await sleep(100)
    }
    return fewer
  }
  const watched = watching()
  return {
    stop: () => {
      over = true
      return watched
    },
  }
}
