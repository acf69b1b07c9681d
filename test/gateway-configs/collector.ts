import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Program, startProgram } from '../istiod/programs.ts'
import { freePort } from '../support/free-port.ts'
import { until } from '../support/until.ts'
import { substitute } from './envoy.ts'

const CACHE = process.env.MINTMARK_CACHE ?? join(homedir(), '.cache', 'mintmark')
const folder = (existsSync(CACHE) ? readdirSync(CACHE) : []).findLast(name => name.startsWith('otelcol-'))
const COLLECTOR = join(CACHE, folder ?? 'otelcol-', 'otelcol')

/** As usage.yaml says. */
const GATES = ['--feature-gates', 'stanza.synchronousLogEmitter']

/** There is none from scripts/install-otel-collector.sh, and none is required. */
export const noCollector = !existsSync(COLLECTOR) && process.env.MINTMARK_REQUIRE_COLLECTOR !== '1'

export interface Collector {
  grpcPort: number
  httpPort: number
  /** Takes the lines of HAProxy. */
  linePort: number
  /** Reads what nginx writes here. */
  nginxLog: string
  log(): string
  /** `kill -9`. */
  kill(): Promise<void>
  /** Again, with what it has on disk. */
  start(): Promise<void>
  stop(): Promise<void>
}

/**
 * deploy/otel-collector/usage.yaml itself, with the addresses and folders that a user would change; `additions`: further
 * configuration.
 */
export async function startCollector(
  receiver: { url: string; secret: string },
  changes: [string, string][] = [],
  additions = '',
): Promise<Collector> {
  const home = mkdtempSync(join(tmpdir(), 'mintmark-collector-'))
  mkdirSync(join(home, 'store'))
  const [grpcPort, httpPort, linePort] = [await freePort(), await freePort(), await freePort()]
  const nginxLog = join(home, 'nginx-usage.log')
  writeFileSync(nginxLog, '', { mode: 0o666 })
  const shipped = readFileSync(new URL('../../deploy/otel-collector/usage.yaml', import.meta.url), 'utf8')
  const config = substitute(shipped, [
    ...changes,
    ['http://mintmark:8085', receiver.url],
    ['0.0.0.0:4317', `127.0.0.1:${grpcPort}`],
    ['0.0.0.0:4318', `127.0.0.1:${httpPort}`],
    [':5140', `:${linePort}`],
    ['/var/log/nginx/mintmark-usage.log', nginxLog],
    ['/var/lib/otelcol/usage', join(home, 'store')],
  ])
  writeFileSync(join(home, 'usage.yaml'), config)
  writeFileSync(join(home, 'additions.yaml'), additions)
  const files = ['usage.yaml', ...(additions === '' ? [] : ['additions.yaml'])]
  let program: Program | undefined
  const collector: Collector = {
    ...{ grpcPort, httpPort, linePort, nginxLog },
    log: () => program?.log() ?? '',
    kill: async () => program?.stop(),
    start: async () => {
      const started = startProgram(
        home,
        COLLECTOR,
        [...GATES, ...files.flatMap(file => ['--config', join(home, file)])],
        { REPORTER_SECRET: receiver.secret },
      )
      program = started
      await until('the Collector listens', () => listens(linePort), Boolean, 60_000).catch(error => {
        throw new Error(`it does not start: ${started.log().slice(-4_000)}`, { cause: error })
      })
    },
    stop: async () => {
      await program?.stop('SIGTERM')
      rmSync(home, { recursive: true, force: true })
    },
  }
  await collector.start()
  return collector
}

function listens(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1', () => resolve(true))
    socket.once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
