import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cp } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { findEnvoy } from '../gateway-configs/envoy.ts'
import { type Program, startProgram } from '../istiod/programs.ts'
import { freePort } from '../support/free-port.ts'
import { until } from '../support/until.ts'

const CACHE = process.env.MINTMARK_CACHE ?? join(homedir(), '.cache', 'mintmark')
const REDIS = '/usr/bin/redis-server'
/** On a busy machine. */
const START_MS = 30_000

const folder = (existsSync(CACHE) ? readdirSync(CACHE) : [])
  .filter(name => name.startsWith('ratelimit-'))
  .findLast(name => existsSync(join(CACHE, name, 'ratelimit-clock')))
const SERVICE = join(CACHE, folder ?? 'ratelimit-', 'ratelimit')

/** Why the suite cannot run; undefined when it can. */
export function missingPrograms(): string | undefined {
  const missing = [SERVICE, `${SERVICE}-clock`, REDIS, findEnvoy() ?? 'envoy'].filter(
    file => !existsSync(file),
  )
  return missing.length > 0
    ? `not installed: ${missing.join(', ')}; run scripts/install-ratelimit.sh and scripts/install-gateways.sh`
    : undefined
}

/** Other versions of Envoy, the oldest first: by their version, the program (scripts/install-older-envoys.sh). */
export function olderEnvoys(): [string, string][] {
  const versions = readdirSync(CACHE).flatMap(name => /^envoy-(1\.\d+\.\d+)$/.exec(name)?.[1] ?? [])
  return versions
    .map((version): [string, string] => [version, join(CACHE, `envoy-${version}`, 'envoy', '_bin', 'envoy')])
    .filter(([, program]) => existsSync(program))
    .toSorted(([one], [other]) => one.localeCompare(other))
}

/** The clock of the rate limit service. It is stopped. */
export class Clock {
  readonly file: string
  #second: number

  constructor(folder: string) {
    this.file = join(folder, 'clock')
    this.#second = Math.floor(Date.now() / 60_000) * 60
    this.#write()
  }

  #write() {
    writeFileSync(this.file, String(this.#second))
  }

  /** Beginning of the next minute, or so many seconds into it. */
  nextMinute(seconds = 0): void {
    this.#second = (Math.floor(this.#second / 60) + 1) * 60 + seconds
    this.#write()
  }

  /** The first second of the next day, UTC. */
  nextDay(): void {
    this.#second = (Math.floor(this.#second / 86_400) + 1) * 86_400
    this.#write()
  }
}

export interface Redis {
  port: number
  pid(): number
  /** The value of the one counter whose name contains this text and whose window is the newest; 0: none. */
  counter(text: string): Promise<number>
  start(): Promise<void>
  stop(): Promise<void>
}

export async function startRedis(folder: string): Promise<Redis> {
  const port = await freePort()
  let program: Program | undefined
  const redis: Redis = {
    port,
    pid: () => program?.pid ?? 0,
    counter: async text => {
      const names = (await command(port, 'KEYS', `*${text}*`)) as string[]
      const [newest] = names.toSorted((a, b) => windowOf(b) - windowOf(a))
      return newest === undefined ? 0 : Number(await command(port, 'GET', newest))
    },
    start: async () => {
      program = startProgram(folder, REDIS, ['--port', String(port), '--bind', '127.0.0.1', '--save', ''])
      await until('Redis answers', () => command(port, 'PING'), Boolean, START_MS)
    },
    stop: async () => {
      await program?.stop()
    },
  }
  await redis.start()
  return redis
}

const windowOf = (name: string) => Number(name.split('_').at(-1))

/** One command, without spaces in its words, and its answer: a text, or a list of texts. */
function command(port: number, ...words: string[]): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(port, '127.0.0.1', () => socket.write(`${words.join(' ')}\r\nQUIT\r\n`))
    let text = ''
    socket.on('data', chunk => {
      text += chunk
    })
    socket.once('error', reject)
    socket.once('close', () => {
      const lines = text.split('\r\n')
      const isList = text.startsWith('*')
      const values = lines.slice(isList ? 1 : 0, -2).filter(line => !line.startsWith('$'))
      resolve(isList ? values : values[0])
    })
  })
}

export interface RateLimitService {
  port: number
  pid(): number
  /** Where Prometheus scrapes it. */
  metricsUrl: string
  start(): Promise<void>
  stop(): Promise<void>
}

/**
 * deploy/envoy/ratelimit on this Redis; without a clock: as its developers build it, with the machine's clock. `domain`: a further
 * configuration, of a domain without limits. `metrics`: with statistics, for Prometheus.
 */
export async function startRateLimitService(
  home: string,
  redis: Redis,
  { clock, domain, metrics = false }: { clock?: Clock; domain?: string; metrics?: boolean } = {},
): Promise<RateLimitService> {
  const [port, http, debug, prometheus] = [
    ...[await freePort(), await freePort(), await freePort(), await freePort()],
  ] as [number, number, number, number]
  const root = join(home, `ratelimit-${port}`)
  mkdirSync(root)
  const shipped = new URL('../../deploy/envoy/ratelimit/', import.meta.url)
  await cp(shipped, join(root, 'ratelimit'), { recursive: true })
  if (domain)
    writeFileSync(join(root, 'ratelimit/config/another.yaml'), `domain: ${domain}\ndescriptors: []\n`)
  const settings = readFileSync(new URL('ratelimit.env', shipped), 'utf8')
    .split('\n')
    .filter(line => /^[A-Z]/.test(line))
    .map(line => line.split('=') as [string, string])
  const env = {
    ...Object.fromEntries(settings),
    REDIS_URL: `127.0.0.1:${redis.port}`,
    RUNTIME_ROOT: root,
    ...{ HOST: '127.0.0.1', GRPC_HOST: '127.0.0.1', DEBUG_HOST: '127.0.0.1' },
    ...{ GRPC_PORT: String(port), PORT: String(http), DEBUG_PORT: String(debug) },
    ...(clock && { RATELIMIT_CLOCK: clock.file }),
    ...(metrics && {
      ...{
        DISABLE_STATS: 'false',
        USE_STATSD: 'false',
        USE_PROMETHEUS: 'true',
        PROMETHEUS_ADDR: `127.0.0.1:${prometheus}`,
      },
    }),
  }
  let program: Program | undefined
  const service: RateLimitService = {
    port,
    pid: () => program?.pid ?? 0,
    metricsUrl: `http://127.0.0.1:${prometheus}`,
    start: async () => {
      const started = startProgram(home, clock ? `${SERVICE}-clock` : SERVICE, [], env)
      program = started
      const healthy = async () => (await fetch(`http://127.0.0.1:${http}/healthcheck`)).status === 200
      await until('the rate limit service is healthy', healthy, Boolean, START_MS).catch(error => {
        throw new Error(`it does not start: ${started.log().slice(-4_000)}`, { cause: error })
      })
    },
    stop: async () => {
      await program?.stop()
    },
  }
  await service.start()
  return service
}
