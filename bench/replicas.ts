import { TOKEN } from './answers.ts'
import { LOAD_CORE, startMintmark } from './contestants.ts'
import type { Installation } from './installation.ts'
import { applyLoad, type Measured } from './load.ts'
import { summary } from './rounds.ts'

const CONNECTIONS = 32

/**
 * One replica on a core, then two replicas on a core each, which share the second core with the load. So CPU time per
 * exchange says more than the rate: what does not grow with the replicas scales.
 */
export async function replicas(
  installation: Installation,
  directory: string,
  pace: { rounds: number; seconds: number },
): Promise<number[][]> {
  const first = await startMintmark(installation, directory)
  const second = await startMintmark(installation, directory, { core: LOAD_CORE })
  const load = { path: TOKEN, credentials: installation.all, connections: CONNECTIONS, seconds: pace.seconds }
  const rounds: Record<'one' | 'two', Measured[]> = { one: [], two: [] }
  try {
    for (const server of [first, second]) await applyLoad(server, { ...load, seconds: 2 })
    for (let round = 0; round < pace.rounds; round++) {
      rounds.one.push(await applyLoad(first, { ...load, connections: 2 * CONNECTIONS, core: LOAD_CORE }))
      rounds.two.push(together(await Promise.all([first, second].map(server => applyLoad(server, load)))))
    }
  } finally {
    await Promise.all([first.stop(), second.stop()])
  }
  const [one, two] = [summary('one', rounds.one), summary('two', rounds.two)]
  return [
    [1, one.perSecond, one.cpuMicros],
    [2, two.perSecond, two.cpuMicros],
  ]
}

function together(both: readonly Measured[]): Measured {
  const perSecond = both.reduce((sum, each) => sum + each.perSecond, 0)
  const cpuMicros = both.reduce((sum, each) => sum + each.cpuMicros * each.perSecond, 0) / perSecond
  const most = (what: 'p50Ms' | 'p99Ms') => Math.max(...both.map(each => each[what]))
  return { perSecond, cpuMicros, p50Ms: most('p50Ms'), p99Ms: most('p99Ms') }
}
