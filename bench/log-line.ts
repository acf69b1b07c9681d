import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CONNECTIONS, TOKEN } from './comparison.ts'
import { LOAD_CORE, startMintmark } from './contestants.ts'
import type { Installation } from './installation.ts'
import { interleave, type Result } from './rounds.ts'

/**
 * What the line of an exchange in the access log costs: the same exchanges without it (LOG_LEVEL=warn), and with it, to a
 * file in memory and to one on a disk.
 */
export async function logLine(
  installation: Installation,
  directory: string,
  pace: { rounds: number; seconds: number },
): Promise<Result[]> {
  const disk = await mkdtemp(join(tmpdir(), 'mintmark-bench-'))
  const servers = await Promise.all([
    startMintmark(installation, directory, { env: { LOG_LEVEL: 'warn' } }),
    startMintmark(installation, directory),
    startMintmark(installation, disk),
  ])
  const names = ['without it', 'to a file in memory', 'to a file on a disk']
  const load = {
    path: TOKEN,
    credentials: installation.first,
    connections: CONNECTIONS,
    seconds: pace.seconds,
    core: LOAD_CORE,
  }
  try {
    return await interleave(
      servers.map((server, index) => ({ name: names[index] ?? '', server, load })),
      pace.rounds,
    )
  } finally {
    await Promise.all(servers.map(server => server.stop()))
    await rm(disk, { recursive: true })
  }
}
