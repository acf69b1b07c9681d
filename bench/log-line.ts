import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jwksOf, TOKEN } from './comparison.ts'
import { LOAD_CORE, startCeiling, startMintmark } from './contestants.ts'
import type { Installation } from './installation.ts'
import type { ServerProcess } from './process.ts'
import { interleave, type Result } from './rounds.ts'

const CONNECTIONS = [32, 64, 256]

/**
 * What the access log costs: exchanges at the bare server, which has none, and at Mintmark without the lines of requests
 * (LOG_LEVEL=warn) and with them, to a file on a disk and to a pipe that another process reads.
 */
export async function logLine(
  installation: Installation,
  directory: string,
  pace: { rounds: number; seconds: number },
): Promise<(Result & { connections: number })[]> {
  const disk = await mkdtemp(join(tmpdir(), 'mintmark-bench-'))
  const servers = new Map<string, ServerProcess>()
  const load = {
    path: TOKEN,
    credentials: installation.first,
    seconds: pace.seconds,
    core: LOAD_CORE,
  }
  try {
    const silent = await startMintmark(installation, directory, { env: { LOG_LEVEL: 'warn' } })
    servers.set('without an access log', silent)
    servers.set('to a file on a disk', await startMintmark(installation, disk))
    servers.set('to a pipe', await startMintmark(installation, directory, { log: 'pipe' }))
    const ceiling = await startCeiling(installation, await jwksOf(silent), directory)
    const contestants = CONNECTIONS.flatMap(connections =>
      [...([['bare node:http', ceiling]] as const), ...servers].map(([name, server]) => ({
        name,
        server,
        load: { ...load, connections },
      })),
    )
    servers.set('bare node:http', ceiling)
    const results = await interleave(contestants, pace.rounds)
    return results.map((result, index) => ({
      ...result,
      connections: contestants[index]?.load.connections ?? Number.NaN,
    }))
  } finally {
    await Promise.all([...servers.values()].map(server => server.stop()))
    await rm(disk, { recursive: true })
  }
}
