import { rm } from 'node:fs/promises'
import { TOKEN } from './answers.ts'
import { CONNECTIONS } from './comparison.ts'
import { LOAD_CORE, startMintmark } from './contestants.ts'
import { addIdentities } from './identities.ts'
import type { Installation } from './installation.ts'
import { applyLoad, type Measured } from './load.ts'
import type { ServerProcess } from './process.ts'
import { type Result, summary } from './rounds.ts'

/** The installations of the table: one credential, and ten for each of 1,000 tenants. */
export const CREDENTIALS = 10_000

interface Asked {
  name: string
  server: ServerProcess
  path: string
  purpose: 'exchange' | 'form' | 'json'
  /** A file for this many seconds; `isOnce`: it is deleted afterwards. */
  lines: (seconds: number) => Promise<string> | string
  isOnce?: true
}

/** The rate of each grant, and that of client_credentials with an API key, in one run. */
export async function grants(
  one: Installation,
  many: Installation,
  directory: string,
  pace: { rounds: number; seconds: number },
): Promise<Result[]> {
  const [few, all] = [
    await addIdentities(one, one.owner, directory),
    await addIdentities(many, many.owner, directory),
  ]
  const servers = [await startMintmark(one, directory), await startMintmark(many, directory)] as const
  const [small, server] = servers
  const form = { path: TOKEN, purpose: 'form' as const }
  const asked: Asked[] = [
    {
      name: 'client_credentials with an API key',
      server,
      path: TOKEN,
      purpose: 'exchange',
      lines: () => many.all,
    },
    { name: 'token exchange, one credential', server: small, ...form, lines: () => few.tokenExchange },
    {
      name: `token exchange, ${CREDENTIALS.toLocaleString('en')} credentials of 1,000 tenants`,
      ...{ server, ...form, lines: () => all.tokenExchange },
    },
    { name: 'jwt-bearer', server, ...form, lines: () => all.jwtBearer },
    { name: 'jwt-bearer in JSON', server, path: `/v1${TOKEN}`, purpose: 'json', lines: () => all.sdk },
    { name: 'client_credentials with jwt-spiffe', server, ...form, lines: () => all.spiffe },
    {
      name: 'client_credentials with private_key_jwt',
      ...{ server, ...form, lines: all.privateKeyJwt, isOnce: true },
    },
  ]
  const measure = async ({ server: target, path, purpose, lines, isOnce }: Asked, seconds: number) => {
    const credentials = await lines(seconds)
    const load = { path, purpose, credentials, connections: CONNECTIONS, core: LOAD_CORE, seconds }
    const measured = await applyLoad(target, load)
    if (isOnce) await rm(credentials)
    return measured
  }
  try {
    for (const each of asked) await measure(each, WARM_UP_SECONDS)
    const measured = asked.map((): Measured[] => [])
    for (let round = 0; round < pace.rounds; round++)
      for (const [index, each] of asked.entries()) measured[index]?.push(await measure(each, pace.seconds))
    return asked.map(({ name }, index) => summary(name, measured[index] ?? []))
  } finally {
    await Promise.all(servers.map(each => each.stop()))
  }
}

const WARM_UP_SECONDS = 2
