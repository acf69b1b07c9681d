import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { KeyDigests } from '../src/api-keys/key-digest.ts'
import { migrate } from '../src/database/migrate.ts'
import { Secret } from '../src/system/secret.ts'
import { query, startServer as startPostgres, withDatabase } from '../test/support/global-setup.ts'
import { type ServiceProcess, startProcess } from '../test/support/service-process.ts'
import { type Plan, plans } from './list-plans.ts'
import { type ListRequest, listRequests } from './list-requests.ts'
import { seedHistory, seedKeys } from './many-keys.ts'
import { meanwhile, oldStatements, type Waits } from './migration-waits.ts'
import { type Cell, markdown } from './report.ts'

/**
 * Measures how the admin API lists, filters and reads with a million keys of ten thousand tenants, and how long
 * requests wait while their tables are migrated:
 *
 *   npm run bench-lists about five minutes, writes docs/admin-lists.md
 *   npm run bench-lists -- --keys 20000 a trial run; writes nothing
 *
 * Uses embedded Postgres, or a superuser's TEST_DATABASE_URL. Exits with 1 when a limit is exceeded.
 */
const BAR_MS = 100
const LONGEST_WAIT_MS = 1_000
const FULL = 1_000_000
const ASKED = 100

const { values } = parseArgs({ options: { keys: { type: 'string', default: String(FULL) } } })
const amounts = { keys: Number(values.keys), tenants: Math.max(100, Number(values.keys) / 100) }
const begun = performance.now()
const say = (text: string) => console.log(`${Math.round((performance.now() - begun) / 1000)} s: ${text}`)

const server = await startPostgres()
const name = `mintmark_lists_${randomBytes(4).toString('hex')}`
const password = randomBytes(16).toString('hex')
const pepper = randomBytes(32)
const rootToken = `root-${randomBytes(24).toString('hex')}`
await query(server.url, `CREATE DATABASE ${name}`)
const ownerUrl = withDatabase(server.url, name)
const owner = new pg.Client({ connectionString: ownerUrl })
let service: ServiceProcess | undefined
try {
  await owner.connect()
  await migrate(ownerUrl, { upTo: '0001_initial' })
  const digests = new KeyDigests([{ id: 'p1', key: new Secret(pepper) }])
  const known = await seedKeys(owner, digests, amounts)
  say(`${amounts.keys} keys exist`)
  const fromFirst = await migrateFromFirst()
  say(`migrated in ${fromFirst.seconds} s`)
  await dropSpanIndexes()
  await seedHistory(owner, amounts)
  await query(server.url, `CREATE ROLE ${name} LOGIN PASSWORD '${password}' IN ROLE mintmark_app`)
  service = startService()
  const urls = await service.ready(60_000)
  const indexes = await rebuildIndexes(urls, known)
  say(`indexes in ${indexes.seconds} s`)
  await owner.query('VACUUM ANALYZE')
  const rows: Cell[][] = []
  for (const request of listRequests(known)) rows.push(await measure(urls.admin, request))
  report(
    rows,
    [
      ['Migrations 0002 and later, and the indexes', fromFirst],
      ['The indexes, while the service of today runs', indexes],
    ],
    await plans(ownerUrl),
  )
} finally {
  await service?.kill()
  await owner.end()
  await query(server.url, `DROP DATABASE ${name} WITH (FORCE)`)
  await query(server.url, `DROP ROLE IF EXISTS ${name}`)
  await server.stop()
}

async function migrateFromFirst() {
  const old = await oldStatements(ownerUrl, amounts.keys)
  try {
    return await meanwhile(old.doing, () => migrate(ownerUrl))
  } finally {
    await old.close()
  }
}

/** They are built again under load later; until then writing rows is faster. */
async function dropSpanIndexes(): Promise<void> {
  const { rows } = await owner.query(
    "SELECT relname FROM pg_class WHERE relkind = 'i' AND relname LIKE '%\\_span\\_%'",
  )
  for (const { relname } of rows) await owner.query(`DROP INDEX ${relname}`)
}

/** With a smaller directory than the number of keys, so that some exchanges query Postgres. */
function startService(): ServiceProcess {
  const ports = ['PUBLIC', 'ADMIN', 'GATEWAY', 'GATEWAY_GRPC', 'OPS'].map(which => [
    `MINTMARK_${which}_PORT`,
    '0',
  ])
  return startProcess({
    ...Object.fromEntries(ports),
    DATABASE_URL: Object.assign(new URL(ownerUrl), { username: name, password }).href,
    MINTMARK_ISSUER: 'http://localhost',
    MINTMARK_ROOT_TOKEN: rootToken,
    MINTMARK_PEPPERS: `p1:${pepper.toString('base64url')}`,
    MINTMARK_ENCRYPTION_KEYS: `e1:${randomBytes(32).toString('base64url')}`,
  })
}

/** While the current service is running. */
async function rebuildIndexes(urls: { public: string; admin: string }, known: readonly string[]) {
  const valid = known.slice(known.length / 2)
  let n = 0
  return meanwhile(
    {
      'an exchange': async () => {
        const client_secret = valid[n++ % valid.length] ?? ''
        const body = new URLSearchParams({ grant_type: 'client_credentials', client_secret })
        const { status } = await fetch(`${urls.public}/oauth/token`, { method: 'POST', body })
        if (status >= 500) throw new Error(`an exchange was answered ${status}`)
      },
      'a new key': async () => {
        await ask(urls.admin, 'POST', '/tenants/tenant-5/keys', { name: 'made meanwhile' })
      },
      'a list': async () => {
        await ask(urls.admin, 'GET', '/keys')
      },
    },
    () => migrate(ownerUrl),
  )
}

async function ask(
  admin: string,
  method: string,
  path: string,
  body?: object,
): Promise<{ next_cursor?: string | null }> {
  const answer = await fetch(`${admin}/admin/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${rootToken}`, ...(body && { 'content-type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) }),
  })
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`)
  return (await answer.json()) as { next_cursor?: string | null }
}

/** The request, its count, and its durations: median, 99th percentile, longest. */
async function measure(
  admin: string,
  { what, method = 'GET', paths, bodies, pages }: ListRequest,
): Promise<Cell[]> {
  const times: number[] = []
  let cursor: string | null | undefined
  for (let n = 0; n < (pages ?? ASKED); n++) {
    const path = paths[n % paths.length] ?? ''
    const sent = performance.now()
    const body = await ask(
      admin,
      method,
      cursor ? `${path}&cursor=${cursor}` : path,
      bodies?.[n % bodies.length],
    )
    times.push(performance.now() - sent)
    if (pages !== undefined) cursor = body.next_cursor
    if (pages !== undefined && cursor === null) break
  }
  times.sort((a, b) => a - b)
  const nth = (share: number) => times[Math.min(times.length - 1, Math.ceil(share * times.length) - 1)] ?? 0
  return [what, times.length, nth(0.5), nth(0.99), nth(1)]
}

function report(
  rows: Cell[][],
  waited: [string, { seconds: number; waits: Waits[] }][],
  shown: Plan[],
): void {
  const lists = markdown({
    name: '',
    columns: ['', 'asked', 'median ms', '99th percentile ms', 'longest ms'],
    rows,
  })
  const waitRows = waited.flatMap(([what, { seconds, waits }]) =>
    waits.map((each): Cell[] => [what, seconds, each.what, each.count, each.longestMs]),
  )
  const columns = ['', 'took s', 'meanwhile', 'times', 'longest ms']
  const waits = markdown({ name: '', columns, rows: waitRows })
  const slow = rows.filter(row => Number(row[3]) > BAR_MS).map(([what]) => what)
  const long = waitRows.filter(row => Number(row[4]) > LONGEST_WAIT_MS).map(row => row[2])
  const explained = shown
    .map(({ what, lines }) => `### ${what}\n\n\`\`\`text\n${lines.join('\n')}\n\`\`\``)
    .join('\n\n')
  const machine = `${cpus().length} cores (${cpus()[0]?.model.trim()}), Node ${process.versions.node}, ${new Date().toISOString().slice(0, 10)}`
  const page = `# Lists with many keys

Written by \`npm run bench-lists\` (bench/admin-lists.ts): ${amounts.keys.toLocaleString('en')} keys of ${amounts.tenants.toLocaleString('en')} tenants, client, service and
Postgres on one machine: ${machine}. The bar is ${BAR_MS} ms at the 99th percentile. Missed: ${slow.join(', ') || 'none'}.

${lists}

## Who waited while the tables were migrated

The bar is ${LONGEST_WAIT_MS} ms. Missed: ${long.join(', ') || 'none'}.

${waits}

## Plans

How the lists are read: [decision 0013](decisions/0013-filtered-lists-scan-fixed-size-ranges.md).

${explained}
`
  console.log(page)
  if (amounts.keys === FULL)
    writeFileSync(fileURLToPath(new URL('../docs/admin-lists.md', import.meta.url)), page)
  if (slow.length + long.length > 0) process.exitCode = 1
}
