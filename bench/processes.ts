import { TOKEN } from './answers.ts'
import { LOAD_CORE, SERVER_CORE, startMintmark } from './contestants.ts'
import type { Installation } from './installation.ts'
import { residentBytes, type ServerProcess } from './process.ts'
import { interleave } from './rounds.ts'

const CONNECTIONS = 64

/**
 * One process on a core, then two on two cores, which share the second core with the load. So CPU time per exchange, of
 * all processes and their parent, says more than the rate. Memory is that of each process after the load.
 */
export async function processes(
  installation: Installation,
  directory: string,
  pace: { rounds: number; seconds: number },
): Promise<(string | number)[][]> {
  const one = await startMintmark(installation, directory)
  const two = await startMintmark(installation, directory, {
    core: `${SERVER_CORE},${LOAD_CORE}`,
    env: { MINTMARK_PROCESSES: '2' },
  })
  const load = { path: TOKEN, credentials: installation.all, connections: CONNECTIONS, seconds: pace.seconds }
  try {
    const contestants = [
      { name: '1', server: one, load: { ...load, core: LOAD_CORE } },
      { name: '2', server: two, load },
    ]
    const results = await interleave(contestants, pace.rounds)
    const [single] = results
    const memory = [mebibytes([one.pid]), `${mebibytes(two.children())}, parent ${mebibytes([two.pid])}`]
    return results.map(({ name, perSecond, cpuMicros }, index) => [
      Number(name),
      perSecond,
      cpuMicros,
      cpuMicros / (single?.cpuMicros ?? Number.NaN),
      memory[index] ?? '',
    ])
  } finally {
    await Promise.all([one, two].map((server: ServerProcess) => server.stop()))
  }
}

const mebibytes = (pids: readonly number[]) =>
  pids.map(pid => Math.round(residentBytes(pid) / 2 ** 20)).join(', ')
