import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { scrape } from '../test/observability/metrics-text.ts'
import { TOKEN } from './answers.ts'
import { checkLoad, checks } from './checks.ts'
import { CONNECTIONS, compare, growConnections, growKeys } from './comparison.ts'
import { LOAD_CORE, SERVER_CORE, startMintmark } from './contestants.ts'
import { CREDENTIALS, grants } from './grants.ts'
import { memory } from './inspector.ts'
import type { Installation } from './installation.ts'
import { applyLoad, type Load } from './load.ts'
import { logLine } from './log-line.ts'
import { comparePeers } from './peers.ts'
import { bars } from './plot.ts'
import type { ServerProcess } from './process.ts'
import { processes } from './processes.ts'
import { profile } from './profile.ts'
import { replicas } from './replicas.ts'
import type { Table } from './report.ts'
import type { Result } from './rounds.ts'
import { steps } from './steps.ts'
import { traces } from './traces.ts'

export interface Bench {
  /** A superuser's URL. */
  postgres: string
  /** For files that are deleted after the run. */
  directory: string
  pace: { rounds: number; seconds: number }
  /** Keys in the directory, ascending. */
  sizes: readonly number[]
  /** Exchanges before memory is measured again. */
  exchanges: number
  /** Creates an installation with this number of keys, once. */
  installation(keys: number): Promise<Installation>
}

/** Number of keys for exchanges in tables that do not measure growth. */
const manyKeys = (bench: Bench) => bench.installation(Math.min(100_000, bench.sizes.at(-1) ?? 1))

const MEASURED = ['a second', 'median ms', '99th percentile ms', 'server CPU µs each']
const measured = ({ perSecond, p50Ms, p99Ms, cpuMicros }: Result) => [perSecond, p50Ms, p99Ms, cpuMicros]
const plotted = (results: readonly Result[]) =>
  results.map(({ name, perSecond }) => ({ name, value: perSecond }))

/** The tables of docs/performance.md, in its order. */
export const PARTS: Record<string, (bench: Bench) => Promise<Omit<Table, 'name'>>> = {
  comparison: async bench => {
    const results = await compare(await manyKeys(bench), bench.directory, bench.pace)
    const [ceiling, provider, one, , , jwks] = results
    const [x = 0, y = 0, z = 0, w = 0] = [ceiling, provider, one, jwks].map(result => result?.perSecond)
    const isJwks = (index: number) => index >= results.length - 2
    const rows = results.map((result, index) => [
      result.name,
      ...measured(result),
      ...(isJwks(index) ? [result.perSecond / w, '', ''] : [x, y, z].map(base => result.perSecond / base)),
    ])
    const columns = ['', ...MEASURED, 'of bare node:http', 'of oidc-provider', 'of one key']
    return { columns, rows, plot: bars('Answers a second, one core', plotted(results)) }
  },
  peers: async bench => {
    const installation = await bench.installation(1)
    const results = await comparePeers(bench.postgres, installation, bench.directory, bench.pace)
    const mintmark = results.at(-1)?.perSecond ?? Number.NaN
    const ceiling = results[0]?.perSecond ?? Number.NaN
    const rows = results.map(result => [
      result.name,
      ...measured(result),
      result.perSecond / ceiling,
      mintmark / result.perSecond,
    ])
    const columns = ['', ...MEASURED, 'of bare node:http', 'Mintmark, times this']
    return { columns, rows, plot: bars('Tokens a second, one core', plotted(results)) }
  },
  checks: async bench => {
    const { flatOut, steadyLoad } = await checks(await manyKeys(bench), bench.directory, bench.pace)
    const [exchange] = flatOut
    const rows = [
      ...flatOut.map(result => [
        result.name,
        ...measured(result),
        result.perSecond / (exchange?.perSecond ?? 0),
      ]),
      ...steadyLoad.map(({ name, perSecond, p50Ms, p99Ms }) => [name, perSecond, p50Ms, p99Ms, '', '']),
    ]
    return { columns: ['', ...MEASURED, 'of an exchange'], rows }
  },
  grants: async bench => {
    const [one, many] = [await bench.installation(1), await bench.installation(CREDENTIALS)]
    const results = await grants(one, many, bench.directory, bench.pace)
    const [byKey, single] = results
    const rows = results.map((result, index) => [
      result.name,
      ...measured(result),
      result.perSecond / (byKey?.perSecond ?? 0),
      index === 2 ? result.perSecond / (single?.perSecond ?? 0) : '',
    ])
    return { columns: ['', ...MEASURED, 'of client_credentials', 'of one credential'], rows }
  },
  keys: async bench => {
    const installations = await Promise.all(bench.sizes.map(bench.installation))
    const results = await growKeys(installations, bench.directory, bench.pace)
    const least = results[0]?.residentBytes ?? 0
    const rows = results.map(result => [
      Number(result.name),
      ...measured(result),
      result.startMs / 1000,
      result.residentBytes / 2 ** 20,
      Number(result.name) > 1_000 ? (result.residentBytes - least) / Number(result.name) : '',
      Number(result.name) > 1_000
        ? heapBytesPerKey(installations.find(({ keys }) => keys === Number(result.name)))
        : '',
    ])
    const columns = [
      'keys',
      ...MEASURED,
      'start s',
      'resident MiB',
      'resident bytes a key',
      'heap bytes a key',
    ]
    const entries = results.map(({ name, perSecond }) => ({
      name: `${Number(name).toLocaleString('en')} keys`,
      value: perSecond,
    }))
    return { columns, rows, plot: bars('Exchanges a second by keys in the directory', entries) }
  },
  connections: async bench => {
    const results = await growConnections(await manyKeys(bench), bench.directory, bench.pace)
    const rows = results.map(result => [Number(result.name), ...measured(result)])
    const entries = results.map(({ name, perSecond }) => ({ name: `${name} connections`, value: perSecond }))
    return {
      columns: ['connections', ...MEASURED],
      rows,
      plot: bars('Exchanges a second by connections', entries),
    }
  },
  replicas: async bench => {
    const rows = await replicas(await manyKeys(bench), bench.directory, bench.pace)
    return { columns: ['replicas', 'a second, together', 'server CPU µs each'], rows }
  },
  processes: async bench => {
    const rows = await processes(await manyKeys(bench), bench.directory, bench.pace)
    const columns = [
      'processes',
      'a second, together',
      'server CPU µs each',
      'of one process',
      'resident MiB of each',
    ]
    return { columns, rows }
  },
  'log-line': async bench => {
    const results = await logLine(await manyKeys(bench), bench.directory, bench.pace)
    const rows = results.map(result => [
      result.connections,
      result.name,
      ...measured(result),
      result.rate,
      result.p99,
      result.lineMicros ?? '',
    ])
    const columns = [
      'connections',
      'access log',
      ...MEASURED,
      'of bare node:http',
      '99th percentile, times its',
      'CPU µs of the line',
    ]
    return { columns, rows }
  },
  traces: async bench => {
    const results = await traces(await manyKeys(bench), bench.directory, bench.pace)
    const [off] = results
    const rows = results.map(result => [
      result.name,
      ...measured(result),
      result.cpuMicros / (off?.cpuMicros ?? Number.NaN),
    ])
    return { columns: ['traces', ...MEASURED, 'CPU of off'], rows }
  },
  memory: bench => memoryOverTime(bench),
  signing: async () => {
    const { jose, nodeCrypto } = child('bench/signing.ts', {}) as { jose: number; nodeCrypto: number }
    const rows = [
      ["jose's SignJWT", jose, 1],
      ['compact JWS, node:crypto', nodeCrypto, nodeCrypto / jose],
    ]
    return { columns: ['ES256', 'signatures a second', 'times'], rows }
  },
  profile: async bench => {
    const installation = await manyKeys(bench)
    return profiled(bench, installation, { path: TOKEN, credentials: installation.first })
  },
  steps: async bench => {
    const [bare, mintmark] = await steps(await manyKeys(bench), bench.directory, bench.pace.seconds)
    const rows = Object.entries(bare).map(([step, micros]) => [step, micros, mintmark[step] ?? 0])
    return { columns: ['CPU µs of an exchange', 'bare node:http', 'Mintmark'], rows }
  },
  'checks-profile': async bench => {
    const installation = await manyKeys(bench)
    return profiled(bench, installation, await checkLoad(installation, bench.directory))
  },
}

/** Memory while keys are exchanged, and what was dropped of the log by then. */
async function memoryOverTime(bench: Bench): Promise<Omit<Table, 'name'>> {
  const installation = await manyKeys(bench)
  const server = await startMintmark(installation, bench.directory)
  const load = { path: TOKEN, credentials: installation.all, connections: CONNECTIONS, core: LOAD_CORE }
  const rows: (string | number)[][] = []
  const look = async (exchanges: number) => {
    const { heapBytes, residentBytes } = await memory(server)
    rows.push([exchanges, heapBytes / 2 ** 20, residentBytes / 2 ** 20, await linesDropped(server)])
  }
  try {
    const { perSecond } = await applyLoad(server, { ...load, seconds: 5 })
    let exchanges = perSecond * 5
    await look(Math.round(exchanges))
    for (const goal of [bench.exchanges / 2, bench.exchanges]) {
      const seconds = Math.ceil((goal - exchanges) / perSecond)
      if (seconds > 0) exchanges += (await applyLoad(server, { ...load, seconds })).perSecond * seconds
      await look(Math.round(exchanges))
    }
  } finally {
    await server.stop()
  }
  return { columns: ['after so many exchanges', 'heap MiB', 'resident MiB', 'log lines dropped'], rows }
}

const linesDropped = async ({ opsUrl }: ServerProcess): Promise<number> =>
  (await scrape(opsUrl)).series.get('mintmark_log_lines_dropped_total') ?? Number.NaN

async function profiled(
  bench: Bench,
  installation: Installation,
  asked: Pick<Load, 'path' | 'credentials' | 'purpose'>,
): Promise<Omit<Table, 'name'>> {
  const server = await startMintmark(installation, bench.directory)
  const asking = asked.purpose === 'check' ? { ...server, url: server.gatewayUrl } : server
  const load = { ...asked, connections: CONNECTIONS, core: LOAD_CORE, seconds: 4 }
  try {
    await applyLoad(asking, load)
    const shares = await profile(server, () => applyLoad(asking, load))
    const rows = shares.filter(({ share }) => share >= 0.005).map(({ part, share }) => [part, share * 100])
    return { columns: ['where', '% of the time'], rows }
  } finally {
    await server.stop()
  }
}

function heapBytesPerKey(installation: Installation | undefined): number {
  return child('bench/directory-memory.ts', installation?.environment ?? {}).bytesPerKey ?? 0
}

/** The one JSON line that a script prints, run alone on the servers' core. */
function child(script: string, env: Record<string, string>): Record<string, number> {
  const cwd = fileURLToPath(new URL('..', import.meta.url))
  const command = ['-c', String(SERVER_CORE), process.execPath, '--expose-gc', script]
  const output = execFileSync('taskset', command, {
    cwd,
    env: { PATH: process.env.PATH ?? '', ...env },
    encoding: 'utf8',
  })
  return JSON.parse(output)
}
