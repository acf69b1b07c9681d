import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { loadCopy } from '../src/api-keys/directory-load.ts'
import { Database } from '../src/database/database.ts'
import { migrate } from '../src/database/migrate.ts'
import { createLogger } from '../src/system/logger.ts'

/**
 * How long a replica takes to read its directory, and what a key costs in memory:
 *
 *   TEST_DATABASE_URL=postgres://postgres@localhost/postgres node --expose-gc bench/directory-memory.ts [keys]
 *
 * Makes a database of its own on that server, with 1,000 tenants; one key in ten has two secrets, one in twenty has
 * lists of its own. The bar: 250,000 keys within 5 s, at most 1,024 bytes each.
 */
const keys = Number(process.argv[2] ?? 250_000)
const server = process.env.TEST_DATABASE_URL
if (!server || !globalThis.gc) throw new Error('needs TEST_DATABASE_URL, and node --expose-gc')

const name = `mintmark_bench_${randomBytes(4).toString('hex')}`
const url = Object.assign(new URL(server), { pathname: `/${name}` }).href
await query(server, `CREATE DATABASE ${name}`)
try {
  await migrate(url)
  await query(url, fill(keys))
  await measure(url)
} finally {
  await query(server, `DROP DATABASE ${name} WITH (FORCE)`)
}

function fill(count: number): string {
  return `
    INSERT INTO models (name, kind) SELECT 'model-' || n, 'model' FROM generate_series(1, 20) AS n;
    INSERT INTO tenants (id, name, tier, scopes, audiences)
      SELECT 't' || n, 't' || n, 'standard', '{inference}', '{vllm}' FROM generate_series(0, 999) AS n;
    INSERT INTO tenant_tiers SELECT 't' || n, 'standard', 0 FROM generate_series(0, 999) AS n;
    INSERT INTO api_keys (id, tenant_id, name, scopes, models_limited, expires_at)
      SELECT 'key_' || lpad(n::text, 16, '0'), 't' || n % 1000, 'key ' || n, '{inference}', n % 20 = 0,
        now() + n * interval '1 minute' + interval '1 day' FROM generate_series(1, ${count}) AS n;
    INSERT INTO key_grants SELECT 'key_' || lpad(n::text, 16, '0'), 'model-' || 1 + n / 20 % 20, 0
      FROM generate_series(20, ${count}, 20) AS n;
    INSERT INTO api_key_secrets (id, key_id, digest, pepper_id)
      SELECT 'sec_' || lpad((n * 2 + s)::text, 16, '0'), 'key_' || lpad(n::text, 16, '0'),
        sha256((n * 2 + s)::text::bytea), 'p1'
      FROM generate_series(1, ${count}) AS n, generate_series(0, 1) AS s WHERE s = 0 OR n % 10 = 0;
    ANALYZE`
}

async function measure(databaseUrl: string): Promise<void> {
  const database = new Database({ url: databaseUrl, maxConnections: 2, logger: createLogger('warn') })
  const used = () => {
    globalThis.gc?.()
    return process.memoryUsage().heapUsed
  }
  const before = used()
  const begun = performance.now()
  const signal = new AbortController().signal
  const { index } = await loadCopy(database, { maxKeys: keys, tokenTtlSeconds: 300, serving: false, signal })
  const seconds = (performance.now() - begun) / 1000
  const bytes = (used() - before) / index.size
  console.log(`${index.size} keys of ${index.tenants} tenants`)
  console.log(`read in ${seconds.toFixed(2)} s (bar: 5 s for 250,000)`)
  console.log(`${bytes.toFixed(0)} bytes per key (bar: 1,024)`)
  await database.close()
}

async function query(databaseUrl: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  await client.query(statement)
  await client.end()
}
