import { createHash } from 'node:crypto'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { readConfig } from '../../src/config/config.ts'
import { Env } from '../../src/config/env.ts'
import { migrate } from '../../src/database/migrate.ts'
import { startEmbeddedPostgres } from '../../src/embedded-postgres/embedded-postgres.ts'
import { type Service, startService } from '../../src/service/service.ts'
import { systemClock } from '../../src/system/clock.ts'
import { createLogger } from '../../src/system/logger.ts'
import { systemRandom } from '../../src/system/random.ts'
import { startPgBouncer } from '../support/pgbouncer.ts'
import { HOSTILE_SETTINGS } from './hostile-settings.ts'
import { transcript } from './transcript.ts'

/**
 * settings/ gives a role and a database every setting that changes what statements mean, value by value:
 *
 *   npm run settings                     all, directly, and through PgBouncer in transaction mode where it is installed
 *   npm run settings -- TimeZone jit     those whose name contains a word
 *   npm run settings -- --sample 7       a sample of them, drawn by the seed 7, for at most 45 seconds: for CI
 *   npm run settings -- --part 2/4       the second of four parts that together are all
 *
 * Each is given to the roles before the migration and the start (ALTER ROLE … IN DATABASE), and to a database while the
 * service runs (ALTER DATABASE, new connections). Then everything that a service does is compared with the same on a
 * database without settings. `TEST_DATABASE_URL` names a server of another version (a superuser's URL). Ends with
 * "N passed, N failed".
 */
const SAMPLE_MS = 45_000
const { values: options, positionals } = parseArgs({
  options: { sample: { type: 'string' }, part: { type: 'string', default: '1/1' } },
  allowPositionals: true,
})
const [part = 0, parts = 0] = options.part.split('/').map(Number)
if (!(part >= 1 && part <= parts)) throw new Error('--part must be like 2/4')
const words = positionals.map(word => word.toLowerCase())
const logger = createLogger('silent')
const server = await startServer()
const root = new pg.Pool({ connectionString: server.url, max: 2 })
root.on('error', () => {})
const version = Math.floor(
  Number((await root.query("SELECT current_setting('server_version_num') AS v")).rows[0].v) / 10_000,
)
const suffix = systemRandom.bytes(4).toString('hex')
const TEMPLATE = `settings_${suffix}`
const APPLICATION = `settings_app_${suffix}`
const OWNER = `settings_owner_${suffix}`
let databases = 0
let passed = 0
let failed = 0

await root.query(`CREATE ROLE ${OWNER} LOGIN CREATEROLE PASSWORD 'owner'`)
await root.query(`CREATE DATABASE ${TEMPLATE} OWNER ${OWNER} TEMPLATE template0 ENCODING 'UTF8'`)
await migrate(urlOf(TEMPLATE, OWNER))
await root.query(`CREATE ROLE ${APPLICATION} LOGIN PASSWORD 'owner' IN ROLE mintmark_app`)
const pooler = await startPgBouncer(urlOf('postgres', OWNER), urlOf('postgres', APPLICATION)).catch(error => {
  console.log(`without PgBouncer: ${(error as Error).message}`)
  return undefined
})
const direct = (url: string) => url

const wanted = HOSTILE_SETTINGS.filter(
  ({ name, since = 0 }) =>
    version >= since && (words.length === 0 || words.some(word => name.toLowerCase().includes(word))),
)
const expected = await onDatabase(database => run(database, direct))
const ways: { when: string; way: Way }[] = [
  { when: 'before the start', way: (database, given) => beforeStart(database, given, direct) },
  { when: 'while running', way: (database, given) => whileRunning(database, given, direct) },
]
if (pooler)
  ways.push({
    when: 'through PgBouncer',
    way: (database, given) => whileRunning(database, given, pooler.through),
  })
const values = wanted.flatMap(({ name, values }) => values.map(value => ({ name, value })))
const each = values.flatMap(given => ways.map(way => ({ given, ...way })))
const all = each.filter((_, index) => index % parts === part - 1)
const { sample } = options
const began = systemClock.monotonicMs()
for (const { given, when, way } of sample === undefined ? all : inRandomOrder(all, sample)) {
  if (sample !== undefined && systemClock.monotonicMs() - began > SAMPLE_MS) break
  await attempt(given, when, way)
  if ((passed + failed) % 25 === 0) console.log(`${passed + failed} of ${all.length} runs`)
}
const drawn =
  sample === undefined ? (parts > 1 ? `, part ${options.part}` : '') : `, a sample by seed ${sample}`
console.log(
  `${wanted.length} settings, ${values.length} values, ${each.length} runs on Postgres ${version}: made ${passed + failed}${drawn}`,
)
await pooler?.stop()
await root.query(`DROP DATABASE ${TEMPLATE} WITH (FORCE)`)
await root.query(`DROP ROLE ${APPLICATION}`)
await root.query(`DROP OWNED BY ${OWNER} CASCADE`)
await root.query(`DROP ROLE ${OWNER}`)
await root.end()
await server.stop()
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed > 0 ? 1 : 0

interface Given {
  name: string
  value: string
}
/** Returns the transcript of one life. */
type Way = (database: string, given: Given) => Promise<string[]>

/** The same order for the same seed. */
function inRandomOrder<T extends { given: Given; when: string }>(runs: readonly T[], seed: string): T[] {
  const place = ({ given, when }: T) =>
    createHash('sha256').update([seed, given.name, given.value, when].join()).digest('hex')
  return runs
    .map(run => ({ run, at: place(run) }))
    .sort((a, b) => (a.at < b.at ? -1 : 1))
    .map(({ run }) => run)
}

async function attempt(given: Given, when: string, way: Way): Promise<void> {
  try {
    const found = await onDatabase(database => way(database, given))
    const index = expected.findIndex((line, place) => line !== found[place])
    if (index >= 0) throw new Error(`expected ${expected[index]}\n  found    ${found[index]}`)
    passed++
  } catch (error) {
    failed++
    console.log(`failed: ${given.name} = '${given.value}' ${when}\n  ${(error as Error).message}`)
  }
}

/** Migrates an empty database with the setting, too. */
async function beforeStart(
  database: string,
  { name, value }: Given,
  through: (url: string) => string,
): Promise<string[]> {
  await root.query(`DROP DATABASE ${database}`)
  await root.query(`CREATE DATABASE ${database} OWNER ${OWNER} TEMPLATE template0 ENCODING 'UTF8'`)
  for (const role of [OWNER, APPLICATION]) {
    await give(`ROLE ${role} IN DATABASE ${database}`, name, value)
  }
  await migrate(through(urlOf(database, OWNER)))
  return run(database, through)
}

async function whileRunning(
  database: string,
  { name, value }: Given,
  through: (url: string) => string,
): Promise<string[]> {
  return run(database, through, async () => {
    await give(`DATABASE ${database}`, name, value)
    // New connections have it: those of the service, and of the pooler.
    await root.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${database}' AND usename = '${APPLICATION}'`,
    )
  })
}

async function give(whom: string, name: string, value: string): Promise<void> {
  const given = name === 'search_path' && value !== '' ? value : `'${value}'`
  await root.query(`ALTER ${whom} SET ${name} = ${given}`)
}

async function run(
  database: string,
  through: (url: string) => string,
  before?: () => Promise<void>,
): Promise<string[]> {
  const rootToken = systemRandom.bytes(24).toString('hex')
  const key = (id: string) => `${id}:${systemRandom.bytes(32).toString('base64url')}`
  const ports = ['PUBLIC', 'ADMIN', 'GATEWAY', 'GATEWAY_GRPC', 'OPS'].map(name => [
    `MINTMARK_${name}_PORT`,
    '0',
  ])
  const config = readConfig(
    new Env({
      ...Object.fromEntries(ports),
      DATABASE_URL: through(urlOf(database, APPLICATION)),
      MINTMARK_ISSUER: 'https://tokens.example.test',
      MINTMARK_DRAIN_DELAY_SECONDS: '0',
      MINTMARK_ROOT_TOKEN: rootToken,
      MINTMARK_PEPPERS: key('p1'),
      MINTMARK_ENCRYPTION_KEYS: key('e1'),
    }),
  )
  const service = await startService(config, { logger })
  try {
    const late = systemClock.sleep(60_000).then(() => {
      throw new Error(`not ready: ${service.reason}`)
    })
    await Promise.race([service.ready, late])
    await before?.()
    return await transcript(called(service, rootToken))
  } finally {
    await service.stop()
  }
}

function called(service: Service, rootToken: string) {
  const send = async (url: string, init: RequestInit) => {
    const response = await fetch(url, init)
    const text = await response.text()
    return { status: response.status, headers: response.headers, body: text ? JSON.parse(text) : undefined }
  }
  return {
    admin: (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
      send(`${service.urls.admin}/admin/v1${path}`, {
        method,
        headers: { authorization: `Bearer ${rootToken}`, 'content-type': 'application/json', ...headers },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      }),
    token: (parameters: Record<string, string>) =>
      send(`${service.urls.public}/oauth/token`, { method: 'POST', body: new URLSearchParams(parameters) }),
  }
}

async function onDatabase<T>(work: (database: string) => Promise<T>): Promise<T> {
  const database = `${TEMPLATE}_${++databases}`
  await root.query(`CREATE DATABASE ${database} OWNER ${OWNER} TEMPLATE ${TEMPLATE}`)
  try {
    return await work(database)
  } finally {
    await root.query(`DROP DATABASE IF EXISTS ${database} WITH (FORCE)`)
  }
}

function urlOf(database: string, role: string): string {
  const url = new URL(server.url)
  url.pathname = `/${database}`
  url.username = role
  url.password = 'owner'
  return url.href
}

async function startServer(): Promise<{ url: string; stop(): Promise<void> }> {
  const { TEST_DATABASE_URL } = process.env
  if (TEST_DATABASE_URL) return { url: TEST_DATABASE_URL, stop: async () => {} }
  const dataDir = await mkdtemp(join(tmpdir(), 'mintmark-settings-'))
  await chmod(dataDir, 0o755)
  const tools = { logger, clock: systemClock, random: systemRandom }
  const embedded = await startEmbeddedPostgres({ dataDir, ...tools, durable: false })
  const url = new URL(embedded.ownerUrl)
  url.pathname = '/postgres'
  const stop = async () => {
    await embedded.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
  return { url: url.href, stop }
}
