import { setTimeout } from 'node:timers/promises'
import { applyLoad, type Load, type Measured } from './load.ts'
import type { ServerProcess } from './process.ts'

/** One line of a table: a server and a load. */
export interface Contestant {
  name: string
  server: ServerProcess
  load: Load
}

/** The medians of all rounds, and each round's throughput. */
export interface Result extends Measured {
  name: string
  rounds: number[]
}

/** For what came due while a server was paused: its timers, and its questions to Postgres. */
const SETTLING_MS = 1_000
/** Some 20,000 exchanges: V8 still compiled in the background after 10,000. */
const WARM_UP_SECONDS = 5

/**
 * Measures all of them in turn, repeatedly, so that other load on the machine affects all equally. Only the server that is
 * measured runs: V8 collects a heap that is idle, and with 100,000 keys in it that takes the core that all share for 0.1 s,
 * which would be in the figures of another. Reports medians, because disturbances make a round slower and never faster.
 */
export async function interleave(contestants: readonly Contestant[], rounds: number): Promise<Result[]> {
  const servers = new Map(contestants.map(({ server }) => [server.pid, server]))
  const measured = contestants.map((): Measured[] => [])
  const alone = async ({ server, load }: Contestant) => {
    server.resume()
    await setTimeout(SETTLING_MS)
    const result = await applyLoad(server, load)
    server.pause()
    return result
  }
  for (const server of servers.values()) server.pause()
  try {
    for (const each of contestants) await alone({ ...each, load: { ...each.load, seconds: WARM_UP_SECONDS } })
    for (let round = 0; round < rounds; round++) {
      for (const [index, contestant] of contestants.entries()) measured[index]?.push(await alone(contestant))
    }
  } finally {
    for (const server of servers.values()) server.resume()
  }
  return contestants.map(({ name }, index) => summary(name, measured[index] ?? []))
}

export function summary(name: string, measured: readonly Measured[]): Result {
  const of = (what: keyof Measured) => median(measured.map(each => each[what]))
  const medians = {
    perSecond: of('perSecond'),
    p50Ms: of('p50Ms'),
    p99Ms: of('p99Ms'),
    cpuMicros: of('cpuMicros'),
  }
  return { name, ...medians, rounds: measured.map(each => each.perSecond) }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const [low = 0, high = 0] =
    sorted.length % 2 === 1 ? [sorted[middle], sorted[middle]] : [sorted[middle - 1], sorted[middle]]
  return (low + high) / 2
}
