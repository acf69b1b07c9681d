import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** The path of Envoy: MINTMARK_ENVOY, else PATH, else where scripts/install-gateways.sh installs it. */
export function findEnvoy(): string | undefined {
  const cache = process.env.MINTMARK_CACHE ?? join(homedir(), '.cache', 'mintmark')
  const inPath = (process.env.PATH ?? '').split(delimiter).map(folder => join(folder, 'envoy'))
  const candidates = [process.env.MINTMARK_ENVOY, ...inPath, join(cache, 'envoy', 'envoy', '_bin', 'envoy')]
  return candidates.find(file => file && existsSync(file))
}

/** For `describe.skipIf`: Envoy is neither installed nor required. skipped-suites.ts reports it once. */
export const noEnvoy = !findEnvoy() && process.env.MINTMARK_REQUIRE_GATEWAYS !== '1'

/** The headers that Envoy adds; the last one with routes of istiod. */
export const ENVOYS_OWN: readonly string[] = [
  ...['x-forwarded-for', 'x-forwarded-proto', 'x-request-id', 'x-envoy-attempt-count'],
  ...['x-envoy-expected-rq-timeout-ms', 'x-envoy-internal', 'x-envoy-external-address'],
  'x-envoy-decorator-operation',
]

export interface Envoy {
  /** The one listener. */
  url: string
  adminUrl: string
  pid: number | undefined
  log(): string
  stop(): Promise<void>
}

/** The text with a user's changes; each replaced text must exist. */
export function substitute(config: string, replacements: [from: string, to: string][]): string {
  return replacements.reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`the configuration does not say ${JSON.stringify(from)}`)
    return text.replaceAll(from, to)
  }, config)
}

/** Runs Envoy on this configuration, whose listener and admin ports are 0, until its listener answers. */
export async function startEnvoy(config: string, binary = findEnvoy()): Promise<Envoy> {
  if (!binary) throw new Error('there is no Envoy: run `bash scripts/install-gateways.sh`')
  const folder = await mkdtemp(join(tmpdir(), 'mintmark-envoy-'))
  const configFile = join(folder, 'envoy.yaml')
  const adminFile = join(folder, 'admin')
  await writeFile(configFile, config)
  const options = [
    '--concurrency',
    '1',
    '--disable-hot-restart',
    '--log-level',
    'warning',
    '--file-flush-interval-msec',
    '50',
    '--admin-address-path',
    adminFile,
  ]
  const child = spawn(binary, ['-c', configFile, ...options], { stdio: ['ignore', 'pipe', 'pipe'] })
  const output: string[] = []
  const log = () => output.join('')
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => output.push(String(chunk)))
  const stop = async () => {
    await kill(child)
    await rm(folder, { recursive: true, force: true })
  }
  try {
    const adminUrl = `http://${await until(child, log, () => readFile(adminFile, 'utf8'))}`
    const port = await until(child, log, () => listenerPort(adminUrl))
    return { url: `http://127.0.0.1:${port}`, adminUrl, pid: child.pid, log, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

export const envoyVersion = (): string =>
  execFileSync(findEnvoy() ?? 'envoy', ['--version'], { encoding: 'utf8' }).trim()

/** The port once the listener is open: it waits for the first fetch of the JWKS. */
async function listenerPort(adminUrl: string): Promise<number | undefined> {
  if ((await fetch(`${adminUrl}/ready`)).status !== 200) return undefined
  const answer = (await (await fetch(`${adminUrl}/listeners?format=json`)).json()) as {
    listener_statuses?: { local_address: { socket_address: { port_value: number } } }[]
  }
  return answer.listener_statuses?.[0]?.local_address.socket_address.port_value
}

async function until<T>(
  child: ChildProcess,
  log: () => string,
  attempt: () => Promise<T | undefined>,
): Promise<T> {
  for (let waited = 0; waited < 20_000; waited += 50) {
    if (child.exitCode !== null) break
    const result = await attempt().catch(() => undefined)
    if (result) return result
    await sleep(50)
  }
  throw new Error(`Envoy did not start:\n${log().slice(-4000)}`)
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise(resolve => child.once('exit', resolve))
  child.kill('SIGKILL')
  await ended
}
