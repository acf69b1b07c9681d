import type pg from 'pg'
import { formatCredential } from '../src/api-keys/api-key.ts'
import type { KeyDigests } from '../src/api-keys/key-digest.ts'
import { systemRandom } from '../src/system/random.ts'

/** One key in this number has a known secret; the digests of the others match nothing. */
const KNOWN_EVERY = 2_000
const KEYS_A_STATEMENT = 100_000

/** Number of rows of each kind. */
export interface Amounts {
  keys: number
  tenants: number
}

/**
 * Fills a database of the first schema with the data of a two-year-old installation: most keys live a year, so the
 * older half has expired; a tenth is revoked; secrets were used recently, long ago or never; labels of many kinds.
 * Returns the known API keys, the oldest first.
 */
export async function seedKeys(
  owner: pg.Client,
  digests: KeyDigests,
  { keys, tenants }: Amounts,
): Promise<string[]> {
  await owner.query('SET synchronous_commit = off')
  await owner.query(CATALOGUE)
  await owner.query(TENANTS, [tenants])
  const numbers = Array.from({ length: Math.floor(keys / KNOWN_EVERY) }, (_, n) => (n + 1) * KNOWN_EVERY)
  const known = numbers.map(n => formatCredential('mmk', keyNumber(n), systemRandom))
  const stored = known.map(key => digests.forStoring(key).digest)
  for (let from = 1; from <= keys; from += KEYS_A_STATEMENT) {
    const to = Math.min(from + KEYS_A_STATEMENT - 1, keys)
    await owner.query(KEYS, [from, to, keys, tenants])
    await owner.query(SECRETS, [from, to, keys, numbers, stored])
  }
  await owner.query(GRANTS, [keys])
  return known
}

/**
 * Adds the data of later schemas: usage, admin tokens, the days of use that exchanges would have written, and audit
 * rows, of which the hashes do not form a chain.
 */
export async function seedHistory(owner: pg.Client, { keys, tenants }: Amounts): Promise<void> {
  await owner.query(USAGE, [keys])
  await owner.query(ADMIN_TOKENS, [tenants])
  await owner.query(DAYS_OF_USE)
  await owner.query(AUDIT, [keys, tenants])
  await owner.query(AUDIT_HEAD)
  await owner.query('VACUUM ANALYZE')
}

/** The id of a key by its number, without `key_`. */
const keyNumber = (n: number) => String(n).padStart(16, '0')

const CATALOGUE = `
  INSERT INTO models (name, kind) SELECT 'model-' || n, 'model' FROM generate_series(1, 20) AS n;
  INSERT INTO models (name, kind, base_model)
    SELECT 'adapter-' || n, 'adapter', 'model-' || (1 + n % 20) FROM generate_series(1, 200) AS n`

const TENANTS = `
  WITH made AS (INSERT INTO tenants (id, name, tier, scopes, audiences, created_at)
    SELECT 'tenant-' || n, 'Tenant ' || n, 'standard', '{inference}', '{vllm}',
      now() - interval '2 years' * (1 - n::float8 / $1::int)
    FROM generate_series(1, $1::int) AS n RETURNING id),
  tiers AS (INSERT INTO tenant_tiers SELECT id, 'standard', 0 FROM made)
  INSERT INTO tenant_grants SELECT id, 'adapter-' || (1 + (hashtext(id) & 127)), 0 FROM made`

/** Keys $1 to $2 of $3, the oldest first; every fiftieth belongs to the largest of $4 tenants. */
const KEYS = `
  INSERT INTO api_keys (id, tenant_id, name, labels, scopes, models_limited, expires_at, disabled_at, revoked_at,
    revoked_reason, created_at, updated_at)
  SELECT 'key_' || lpad(n::text, 16, '0'),
    'tenant-' || CASE WHEN n % 50 = 0 THEN 1 ELSE 1 + (h & 2147483647) % $4::int END,
    'key ' || n,
    jsonb_strip_nulls(jsonb_build_object(
      'env', CASE WHEN h % 10 < 6 THEN 'prod' WHEN h % 10 < 9 THEN 'staging' ELSE 'dev' END,
      'team', 'team-' || (h & 511),
      'week', to_char(made, 'IYYY-IW'),
      'incident', CASE WHEN n % ($3::int / 5) = 7 THEN 'INC-1234' END,
      'legacy', CASE WHEN n < $3::int * 0.3 THEN 'yes' END)),
    '{inference}', n % 20 = 0,
    CASE WHEN h % 20 = 1 THEN NULL WHEN h % 20 = 2 THEN made + interval '30 days' ELSE made + interval '365 days' END,
    CASE WHEN h % 33 = 5 THEN now() END, CASE WHEN h % 10 = 3 THEN made + interval '10 days' END,
    CASE WHEN h % 10 = 3 THEN 'left the company' END, made, made
  FROM (SELECT n, hashint4(n) & 2147483647 AS h, now() - interval '2 years' * (1 - n::float8 / $3::int) AS made
    FROM generate_series($1::int, $2::int) AS n) AS k`

/** One in ten has a second secret. Most live ones were used within a month. */
const SECRETS = `
  INSERT INTO api_key_secrets (id, key_id, digest, pepper_id, created_at, last_used_at)
  SELECT 'sec_' || lpad((n * 2 + s)::text, 16, '0'), 'key_' || lpad(n::text, 16, '0'),
    CASE s WHEN 0 THEN coalesce(digest, sha256(n::text::bytea)) ELSE sha256(('second ' || n)::bytea) END, 'p1', made,
    CASE WHEN h % 10 = 9 THEN NULL
      WHEN h % 10 < 7 AND made > now() - interval '365 days' THEN now() - interval '30 days' * ((h & 1023) / 1024.0)
      ELSE least(now(), made + interval '200 days' * ((h & 1023) / 1024.0)) END
  FROM (SELECT n, hashint4(n + 1) & 2147483647 AS h, now() - interval '2 years' * (1 - n::float8 / $3::int) AS made
    FROM generate_series($1::int, $2::int) AS n) AS k
  CROSS JOIN generate_series(0, 1) AS s
  LEFT JOIN unnest($4::int[], $5::bytea[]) AS known (of, digest) ON known.of = n
  WHERE s = 0 OR n % 10 = 0`

const GRANTS = `
  INSERT INTO key_grants SELECT 'key_' || lpad(n::text, 16, '0'), 'model-' || (1 + n / 20 % 20), 0
  FROM generate_series(20, $1::int, 20) AS n`

const USAGE = `
  INSERT INTO key_usage (key_id, day, outcome, count)
  SELECT 'key_' || lpad(n::text, 16, '0'), (now() AT TIME ZONE 'UTC')::date - d, outcome, 1 + n % 977
  FROM generate_series(10, $1::int, 10) AS n, generate_series(0, 9) AS d,
    unnest(ARRAY['exchanged', 'expired']) AS outcome WHERE outcome = 'exchanged' OR d = 0`

const ADMIN_TOKENS = `
  INSERT INTO admin_tokens (id, name, role, tenant_id, digest, pepper_id, created_by)
  SELECT 'adm_' || lpad(n::text, 16, '0'), 'token ' || n, 'tenant-admin', 'tenant-' || (1 + n % $1::int),
    sha256(('admin ' || n)::bytea), 'p1', 'root' FROM generate_series(1, 2 * $1::int) AS n`

/** One row for the creation of each key, by root or an admin token, and some refusals. */
const AUDIT = `
  INSERT INTO audit_events (id, at, actor, action, outcome, target_kind, target_id, tenant_id, changes, previous_hash, hash)
  SELECT n, now() - interval '2 years' * (1 - n::float8 / $1::int),
    CASE WHEN h % 10 = 0 THEN 'adm_' || lpad((1 + h % (2 * $2::int))::text, 16, '0') ELSE 'root' END,
    CASE WHEN h % 1000 = 1 THEN 'key.revoke' WHEN n % 100000 = 5 THEN 'tenant.delete' ELSE 'key.create' END, 'done', 'key',
    'key_' || lpad(n::text, 16, '0'),
    'tenant-' || CASE WHEN n % 50 = 0 THEN 1 ELSE 1 + h % $2::int END,
    '{"name": {"to": "a name"}}', sha256((n - 1)::text::bytea), sha256(n::text::bytea)
  FROM (SELECT n, hashint4(n) & 2147483647 AS h FROM generate_series(1, $1::int) AS n) AS e`

const AUDIT_HEAD = `
  UPDATE change_counter SET (audit_id, audit_hash) = (SELECT id, hash FROM audit_events ORDER BY id DESC LIMIT 1)`

const DAYS_OF_USE = `
  UPDATE api_keys AS k SET last_used_on = used.day
  FROM (SELECT key_id, max((last_used_at AT TIME ZONE 'UTC')::date) AS day FROM api_key_secrets GROUP BY key_id) AS used
  WHERE used.key_id = k.id AND used.day IS NOT NULL`
