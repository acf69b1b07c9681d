import { randomBytes } from 'node:crypto'
import { chmod, open } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { formatCredential } from '../src/api-keys/api-key.ts'
import { KeyDigests } from '../src/api-keys/key-digest.ts'
import { migrate } from '../src/database/migrate.ts'
import { systemRandom } from '../src/system/random.ts'
import { Secret } from '../src/system/secret.ts'
import { query, withDatabase } from '../test/support/global-setup.ts'

const TENANTS = 1_000
const KEYS_A_STATEMENT = 10_000

/** A database with tenants and keys, and the credentials to use it. */
export interface Installation {
  keys: number
  /** The environment of a Mintmark process. */
  environment: Record<string, string>
  /** URL of the owner of its database. */
  owner: string
  /** Files with Authorization values: of the first key, and of all. */
  first: string
  all: string
  /** The first key. */
  apiKey: string
  drop(): Promise<void>
}

/**
 * Creates a database on `server` (a superuser's URL) with `keys` keys, spread over up to 1,000 tenants and 20 models:
 * one in ten has two secrets, one in twenty its own list of models. Files are written to `directory`.
 */
export async function makeInstallation(
  server: string,
  keys: number,
  directory: string,
): Promise<Installation> {
  const suffix = randomBytes(4).toString('hex')
  const name = `mintmark_bench_${suffix}`
  const password = randomBytes(16).toString('hex')
  const pepper = randomBytes(32)
  const file = (what: string) => join(directory, `${name}.${what}`)
  await query(server, `CREATE DATABASE ${name}`)
  const owner = withDatabase(server, name)
  await migrate(owner)
  await query(server, `CREATE ROLE ${name} LOGIN PASSWORD '${password}' IN ROLE mintmark_app`)
  const client = new pg.Client({ connectionString: owner })
  await client.connect()
  await client.query(`SET synchronous_commit = off; ${CATALOGUE}`)
  const digests = new KeyDigests([{ id: 'p1', key: new Secret(pepper) }])
  const all = await open(file('all'), 'w')
  let apiKey = ''
  for (let from = 1; from <= keys; from += KEYS_A_STATEMENT) {
    const made = Array.from({ length: Math.min(KEYS_A_STATEMENT, keys - from + 1) }, (_, n) =>
      apiKeyNumber(from + n),
    )
    apiKey ||= made[0] ?? ''
    await client.query(KEYS, [from, made.map(key => digests.forStoring(key).digest)])
    await all.write(made.map(key => `${basic(key)}\n`).join(''))
  }
  await client.query('ANALYZE')
  await client.end()
  await all.close()
  const first = await open(file('first'), 'w')
  await first.write(`${basic(apiKey)}\n`)
  await first.close()
  await chmod(directory, 0o755)
  const application = Object.assign(new URL(owner), { username: name, password })
  return {
    keys,
    owner,
    environment: {
      DATABASE_URL: application.href,
      MINTMARK_PUBLIC_PORT: '0',
      MINTMARK_ADMIN_PORT: '0',
      MINTMARK_GATEWAY_PORT: '0',
      MINTMARK_GATEWAY_GRPC_PORT: '0',
      MINTMARK_OPS_PORT: '0',
      MINTMARK_DIRECTORY_MAX_KEYS: '2000000',
      MINTMARK_ISSUER: 'http://localhost',
      MINTMARK_ROOT_TOKEN: `root-${randomBytes(24).toString('hex')}`,
      MINTMARK_PEPPERS: `p1:${pepper.toString('base64url')}`,
      MINTMARK_ENCRYPTION_KEYS: `e1:${randomBytes(32).toString('base64url')}`,
    },
    first: file('first'),
    all: file('all'),
    apiKey,
    drop: async () => {
      await query(server, `DROP DATABASE ${name} WITH (FORCE)`)
      await query(server, `DROP ROLE ${name}`)
    },
  }
}

const keyId = (n: number) => String(n).padStart(16, '0')

const apiKeyNumber = (n: number) => formatCredential('mmk', keyId(n), systemRandom)

/** RFC 7617; form encoding does not change a key. */
const basic = (apiKey: string) =>
  `Basic ${Buffer.from(`key_${apiKey.slice(4, 20)}:${apiKey}`).toString('base64')}`

const CATALOGUE = `
  INSERT INTO models (name, kind) SELECT 'model-' || n, 'model' FROM generate_series(1, 20) AS n;
  INSERT INTO tenants (id, name, tier, scopes, audiences)
    SELECT 't' || n, 't' || n, 'standard', '{inference}', '{vllm}' FROM generate_series(0, ${TENANTS - 1}) AS n;
  INSERT INTO tenant_tiers SELECT 't' || n, 'standard', 0 FROM generate_series(0, ${TENANTS - 1}) AS n`

/** Keys from number $1 on, with their digests $2; the second secret of a key is unknown. */
const KEYS = `
  WITH made AS (SELECT $1::int + ordinality - 1 AS n, digest FROM unnest($2::bytea[]) WITH ORDINALITY AS d (digest)),
  keys AS (INSERT INTO api_keys (id, tenant_id, name, scopes, models_limited, expires_at)
    SELECT 'key_' || lpad(n::text, 16, '0'), 't' || n % ${TENANTS}, 'key ' || n, '{inference}', n % 20 = 0,
      now() + n * interval '1 minute' + interval '1 day' FROM made),
  grants AS (INSERT INTO key_grants
    SELECT 'key_' || lpad(n::text, 16, '0'), 'model-' || 1 + n / 20 % 20, 0 FROM made WHERE n % 20 = 0)
  INSERT INTO api_key_secrets (id, key_id, digest, pepper_id)
    SELECT 'sec_' || lpad((n * 2 + s)::text, 16, '0'), 'key_' || lpad(n::text, 16, '0'),
      CASE s WHEN 0 THEN digest ELSE sha256(digest) END, 'p1'
    FROM made, generate_series(0, 1) AS s WHERE s = 0 OR n % 10 = 0`
