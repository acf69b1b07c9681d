import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { FetchTokens } from '../src/identity-providers/fetching/fetch-tokens.ts'
import { FetchedKeys } from '../src/identity-providers/fetching/fetched-keys.ts'
import { systemClock } from '../src/system/clock.ts'
import { systemRandom } from '../src/system/random.ts'
import { markdown } from './report.ts'

/**
 * What a fetch of the keys of a hostile issuer costs this process: how long it takes, how much CPU time, and how
 * much memory it needs at most. The issuer is a process of its own. Each fetch is made five times, and the worst one counts.
 *
 *   npm run bench-issuers
 */
const TIMES = 5
const SAMPLE_MS = 5
const issuer = spawn(
  process.execPath,
  [fileURLToPath(new URL('servers/hostile-issuer.ts', import.meta.url))],
  {
    stdio: ['ignore', 'pipe', 'inherit'],
  },
)
try {
  const [line] = await once(issuer.stdout, 'data')
  const { port, paths } = JSON.parse(String(line)) as { port: number; paths: string[] }
  const origin = `http://127.0.0.1:${port}`
  // What the first one compiles and allocates is not the issuer's doing.
  await worstOf(`${origin}/html`, port)
  const rows: (string | number)[][] = []
  for (const path of paths) {
    const { seconds, cpuMs, mebibytes, fault } = await worstOf(`${origin}/${path}`, port)
    rows.push([path, fault, seconds, cpuMs, mebibytes])
  }
  console.log(markdown({ name: 'issuers', columns: ['answer', 'failure', 's', 'CPU ms', 'MiB more'], rows }))
} finally {
  issuer.kill()
}

async function worstOf(jwksUri: string, port: number) {
  const each: Awaited<ReturnType<typeof fetchOnce>>[] = []
  for (let time = 0; time < TIMES; time++) each.push(await fetchOnce(jwksUri, port))
  const most = (of: (one: (typeof each)[number]) => number) => Math.max(...each.map(of))
  return {
    seconds: most(one => one.seconds),
    cpuMs: most(one => one.cpuMs),
    mebibytes: most(one => one.mebibytes),
    fault: each[0]?.fault ?? '',
  }
}

async function fetchOnce(jwksUri: string, port: number) {
  const fetched = new FetchedKeys({
    tokens: new FetchTokens({ keys: [], random: systemRandom }),
    cluster: { apiUrl: 'https://kubernetes.default.svc', folder: '/nowhere' },
    clock: systemClock,
    random: systemRandom,
    now: () => systemClock.wallMs(),
    insecureLoopback: true,
    isOwn: () => false,
  })
  const provider = { id: 'idp_1', kind: 'oidc' as const, issuer: 'https://issuer.example.com', jwks: null }
  const rest = { jwksUri, caPem: null, allowAddresses: [`127.0.0.1/32:${port}`], jwksMaxStaleSeconds: 600 }
  fetched.follow([{ ...provider, ...rest }])
  globalThis.gc?.()
  await sleep(50)
  const before = memory()
  let most = before
  const sampling = setInterval(() => {
    most = Math.max(most, memory())
  }, SAMPLE_MS)
  const cpu = process.cpuUsage()
  const began = performance.now()
  fetched.tick()
  while (fetched.busy > 0) await sleep(SAMPLE_MS)
  const seconds = (performance.now() - began) / 1_000
  const { user, system } = process.cpuUsage(cpu)
  most = Math.max(most, memory())
  clearInterval(sampling)
  return {
    seconds,
    cpuMs: (user + system) / 1_000,
    mebibytes: (most - before) / 2 ** 20,
    fault: fetched.health[0]?.lastFault?.kind ?? 'none',
  }
}

/** What it holds, freed or not. */
function memory(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
