import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { freePort } from '../support/free-port.ts'
import { until } from '../support/until.ts'

/** Debian's, from PATH or from where scripts/install-test-tools.sh unpacks it. */
function find(program: string): string | undefined {
  const cache = process.env.MINTMARK_CACHE ?? join(homedir(), '.cache', 'mintmark')
  const folders = [...(process.env.PATH ?? '').split(delimiter), join(cache, 'prometheus', 'usr', 'bin')]
  return folders.map(folder => join(folder, program)).find(file => existsSync(file))
}

/** True: skip. Where third-party programs are required (CI), a missing one fails instead. */
export const lacksPrometheus = (): boolean =>
  !(find('prometheus') && find('promtool')) && process.env.MINTMARK_REQUIRE_GATEWAYS !== '1'

function binary(program: string): string {
  const file = find(program)
  if (!file) throw new Error(`${program} is not there: run \`bash scripts/install-test-tools.sh\``)
  return file
}

export function promtool(args: string[], input = ''): { ok: boolean; output: string } {
  const { status, stdout, stderr } = spawnSync(binary('promtool'), args, { input, encoding: 'utf8' })
  return { ok: status === 0, output: stdout + stderr }
}

export interface Prometheus {
  /** The `data` of a response of the HTTP API. @throws {Error} with Prometheus's message for anything but success. */
  // biome-ignore lint/suspicious/noExplicitAny: each path of the API has its own shape
  get(path: string, parameters?: Record<string, string>): Promise<any>
  stop(): Promise<void>
}

/** Scrapes each target (a base URL) five times a second as the job "mintmark", and evaluates the rules as often. */
export async function startPrometheus(options: { targets: string[]; rules: string }): Promise<Prometheus> {
  const folder = await mkdtemp(join(tmpdir(), 'mintmark-prometheus-'))
  const rulesFile = join(folder, 'rules.yaml')
  await writeFile(rulesFile, options.rules)
  const targets = options.targets.map(target => new URL(target).host)
  const config = {
    global: { scrape_interval: '200ms', scrape_timeout: '200ms', evaluation_interval: '200ms' },
    rule_files: [rulesFile],
    scrape_configs: [{ job_name: 'mintmark', static_configs: [{ targets }] }],
  }
  // JSON is YAML.
  await writeFile(join(folder, 'prometheus.yaml'), JSON.stringify(config))
  const port = await freePort()
  const child = spawn(
    binary('prometheus'),
    [
      `--config.file=${join(folder, 'prometheus.yaml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--log.level=warn',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let said = ''
  child.stderr.on('data', chunk => {
    said += chunk
  })
  const get: Prometheus['get'] = async (path, parameters = {}) => {
    const query = new URLSearchParams(parameters)
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/${path}?${query}`)
    const body = (await answer.json()) as { status: string; data?: unknown; error?: string }
    if (body.status !== 'success') throw new Error(`${path} ${query}: ${body.error}`)
    return body.data
  }
  const stop = async () => {
    await kill(child)
    await rm(folder, { recursive: true, force: true })
  }
  try {
    await until('Prometheus answers', () => get('status/buildinfo'))
  } catch (error) {
    await stop()
    throw new Error(`${(error as Error).message}\n${said}`)
  }
  return { get, stop }
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return
  const ended = new Promise(resolve => child.once('exit', resolve))
  child.kill('SIGKILL')
  await ended
}
