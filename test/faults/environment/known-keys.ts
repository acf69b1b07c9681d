import { KeyDigests } from '../../../src/api-keys/key-digest.ts'
import { namedKeys } from '../../../src/config/formats.ts'
import type { Postgres } from './postgres.ts'
import { PEPPERS, unknownKey } from './replica.ts'

/** A tenant of this name with keys, written directly into the database before a replica starts. */
export const TENANT = 'known'

export interface Key {
  id: string
  secret: string
}

export async function fillKeys(postgres: Postgres, count: number): Promise<Key[]> {
  const digests = new KeyDigests(namedKeys(PEPPERS))
  const keys = Array.from({ length: count }, unknownKey).map(secret => ({
    id: `key_${secret.split('_')[1]}`,
    secret,
  }))
  await postgres.sql(`
    INSERT INTO tenants (id, name, tier, scopes, audiences)
      VALUES ('${TENANT}', '${TENANT}', 'standard', '{inference}', '{vllm}');
    INSERT INTO tenant_tiers VALUES ('${TENANT}', 'standard', 0)`)
  await postgres.sql(
    `INSERT INTO api_keys (id, tenant_id, name, scopes, expires_at)
      SELECT id, $2, id, '{inference}', now() + interval '1 day' FROM unnest($1::text[]) AS id`,
    [keys.map(({ id }) => id), TENANT],
  )
  await postgres.sql(
    `INSERT INTO api_key_secrets (id, key_id, digest, pepper_id)
      SELECT 'sec_' || substr(id, 5), id, decode(digest, 'base64'), 'p1' FROM unnest($1::text[], $2::text[]) AS given (id, digest)`,
    [
      keys.map(({ id }) => id),
      keys.map(({ secret }) => digests.forStoring(secret).digest.toString('base64')),
    ],
  )
  return keys
}

/** More keys of the same tenant, with unknown secrets. */
export async function addUnknownKeys(postgres: Postgres, count: number): Promise<void> {
  await postgres.sql(`
    INSERT INTO api_keys (id, tenant_id, name, scopes, expires_at)
      SELECT 'key_' || lpad(n::text, 16, '0'), '${TENANT}', 'key ' || n, '{inference}', now() + interval '1 day'
      FROM generate_series(1, ${count}) AS n;
    INSERT INTO api_key_secrets (id, key_id, digest, pepper_id)
      SELECT 'sec_' || lpad(n::text, 16, '0'), 'key_' || lpad(n::text, 16, '0'), sha256(n::text::bytea), 'p1'
      FROM generate_series(1, ${count}) AS n;
    ANALYZE`)
}
