import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { answersOf, TOKEN } from './answers.ts'
import { LOAD_CORE, startCeiling, startMintmark, startSilent } from './contestants.ts'
import type { Installation } from './installation.ts'
import type { ServerProcess } from './process.ts'
import { interleave, type Result } from './rounds.ts'

const CONNECTIONS = [32, 64, 256]

export interface LoggedResult extends Result {
  connections: number
  /** Rate and 99th percentile as multiples of those of the bare server. */
  rate: number
  p99: number
  /** CPU time of an exchange beyond that of one without a log, in microseconds; undefined: there is no log. */
  lineMicros: number | undefined
}

/**
 * What the access log costs: exchanges at the bare server, which has none, and at Mintmark without a log, with a log to a
 * file on a disk, and with a log to a pipe that another process reads.
 */
export async function logLine(
  installation: Installation,
  directory: string,
  pace: { rounds: number; seconds: number },
): Promise<LoggedResult[]> {
  const disk = await mkdtemp(join(tmpdir(), 'mintmark-bench-'))
  const started: ServerProcess[] = []
  const start = async (server: Promise<ServerProcess>) => {
    started.push(await server)
    return server
  }
  try {
    const file = await start(startMintmark(installation, disk))
    const bare = await start(startCeiling(installation, await answersOf(file, installation), directory))
    const servers = [
      ['bare node:http', bare],
      ['no log', await start(startSilent(installation, directory))],
      ['a file on a disk', file],
      ['a pipe', await start(startMintmark(installation, directory, { log: 'pipe' }))],
    ] as const
    const load = { path: TOKEN, credentials: installation.first, seconds: pace.seconds, core: LOAD_CORE }
    const contestants = CONNECTIONS.flatMap(connections =>
      servers.map(([name, server]) => ({ name, server, load: { ...load, connections } })),
    )
    const results = await interleave(contestants, pace.rounds)
    return results.map((result, index) => {
      const first = index - (index % servers.length)
      const [bare, silent] = results.slice(first) as [Result, Result]
      return {
        ...result,
        connections: CONNECTIONS[first / servers.length] ?? 0,
        rate: result.perSecond / bare.perSecond,
        p99: result.p99Ms / bare.p99Ms,
        lineMicros: index - first < 2 ? undefined : result.cpuMicros - silent.cpuMicros,
      }
    })
  } finally {
    await Promise.all(started.map(server => server.stop()))
    await rm(disk, { recursive: true })
  }
}
