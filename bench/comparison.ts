import { answersOf, JWKS, TOKEN } from './answers.ts'
import { LOAD_CORE, startCeiling, startMintmark, startOidcProvider } from './contestants.ts'
import type { Installation } from './installation.ts'
import type { ServerProcess } from './process.ts'
import { interleave, type Result } from './rounds.ts'

export const CONNECTIONS = 64
/** A query serves all requests of 20 ms, so many connections are needed to load it. */
const LOOKUP_CONNECTIONS = 512
const KEYS_IN_DIRECTORY = 1_000

/** Mintmark compared with the machine's limit and another issuer, in one run. */
export async function compare(
  installation: Installation,
  directory: string,
  pace: { rounds: number; seconds: number },
): Promise<Result[]> {
  const mintmark = await startMintmark(installation, directory)
  const ceiling = await startCeiling(installation, await answersOf(mintmark, installation), directory)
  const provider = await startOidcProvider(installation, directory)
  const bounded = await startMintmark(installation, directory, {
    env: { MINTMARK_DIRECTORY_MAX_KEYS: String(KEYS_IN_DIRECTORY) },
  })
  const load = { connections: CONNECTIONS, seconds: pace.seconds, core: LOAD_CORE }
  const one = { ...load, path: TOKEN, credentials: installation.first }
  const uniform = { ...load, path: TOKEN, credentials: installation.all }
  const keys = installation.keys.toLocaleString('en')
  try {
    return await interleave(
      [
        { name: 'bare node:http, the same cryptography', server: ceiling, load: one },
        { name: 'oidc-provider', server: provider, load: { ...one, path: '/token' } },
        { name: 'Mintmark, one key', server: mintmark, load: one },
        { name: `Mintmark, each time one of ${keys} keys`, server: mintmark, load: uniform },
        {
          name: `Mintmark, ${keys} keys with room for ${KEYS_IN_DIRECTORY.toLocaleString('en')}`,
          server: bounded,
          load: { ...uniform, connections: LOOKUP_CONNECTIONS },
        },
        { name: 'bare node:http, the JWKS', server: ceiling, load: { ...load, path: JWKS } },
        { name: 'Mintmark, the JWKS', server: mintmark, load: { ...load, path: JWKS } },
      ],
      pace.rounds,
    )
  } finally {
    await Promise.all([mintmark, ceiling, provider, bounded].map(server => server.stop()))
  }
}

/** By the number of connections of the load, on one core. */
export async function growConnections(
  installation: Installation,
  directory: string,
  pace: { rounds: number; seconds: number },
): Promise<Result[]> {
  const server = await startMintmark(installation, directory)
  const load = { path: TOKEN, credentials: installation.all, seconds: pace.seconds, core: LOAD_CORE }
  const contestants = [1, 8, 64, 256].map(connections => ({
    name: String(connections),
    server,
    load: { ...load, connections },
  }))
  try {
    return await interleave(contestants, pace.rounds)
  } finally {
    await server.stop()
  }
}

/** By the number of keys in the directory; with the time of a start, and the process's memory per key. */
export async function growKeys(
  installations: readonly Installation[],
  directory: string,
  pace: { rounds: number; seconds: number },
): Promise<(Result & { startMs: number; residentBytes: number })[]> {
  const servers: ServerProcess[] = []
  // One after the other, because each needs the core for itself while it starts.
  for (const installation of installations) servers.push(await startMintmark(installation, directory))
  const resident = servers.map(server => server.residentBytes())
  const contestants = servers.map((server, index) => ({
    name: String(installations[index]?.keys),
    server,
    load: {
      path: TOKEN,
      credentials: installations[index]?.all ?? '',
      connections: CONNECTIONS,
      seconds: pace.seconds,
      core: LOAD_CORE,
    },
  }))
  try {
    const results = await interleave(contestants, pace.rounds)
    return results.map((result, index) => ({
      ...result,
      startMs: servers[index]?.startMs ?? 0,
      residentBytes: resident[index] ?? 0,
    }))
  } finally {
    await Promise.all(servers.map(server => server.stop()))
  }
}
