import { afterAll, beforeAll, expect, it } from 'vitest'
import { Database } from '../../src/database/database.ts'
import { recentKeyPage } from '../../src/directory/directory-repository.ts'
import { RowSeals } from '../../src/installation/row-seals.ts'
import { createLogger } from '../../src/system/logger.ts'
import { PATIENT } from '../support/patient.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'

/** 25,000 keys that were used long ago, except every 5,000th: with more keys than room only those are read. */
const KEYS = 25_000
const USED_SINCE = Date.parse('2026-01-01T00:00:00Z')

let place: TestDatabase
let database: Database
beforeAll(async () => {
  place = await createTestDatabase()
  await place.asOwner(`
    INSERT INTO tenants (id, name, tier, scopes, audiences) VALUES ('acme', 'Acme', 'standard', '{inference}', '{vllm}');
    INSERT INTO tenant_tiers VALUES ('acme', 'standard', 0);
    INSERT INTO api_keys (id, tenant_id, name, scopes, created_at)
      SELECT 'key_' || lpad(n::text, 16, '0'), 'acme', n::text, '{inference}', '2020-01-01'
      FROM generate_series(1, ${KEYS}) AS n;
    INSERT INTO api_key_secrets (id, key_id, digest, pepper_id, created_at, last_used_at)
      SELECT 'sec_' || substr(id, 5), id, sha256(id::bytea), 'p1', '2020-01-01',
        CASE WHEN name::int % 5000 = 0 THEN timestamptz '2026-06-01' END
      FROM api_keys`)
  const { applicationUrl: url } = place
  database = new Database({ url, maxConnections: 1, logger: createLogger('silent'), timeouts: PATIENT })
})
afterAll(async () => {
  await database.close()
  await place.drop()
})

const seals = new RowSeals({ encryptionKeys: [], peppers: [] })
const read = async (limit: number) => {
  const pages: string[][] = []
  for (let after: string | undefined = '0'; after !== undefined; ) {
    const from: string = after
    const page = { after: from, upTo: null, limit, usedSince: USED_SINCE }
    const { items, last } = await database.run(db => recentKeyPage(db, seals, page))
    pages.push(items.map(({ id }) => id))
    after = last
  }
  return pages
}
const key = (n: number) => `key_${String(n).padStart(16, '0')}`

it('a few used keys are found among many unused ones, by pages that skip at most 10,000', async () => {
  expect(await read(1_000)).toEqual([[key(5_000), key(10_000)], [key(15_000), key(20_000)], [key(25_000)]])
})

it('a full page continues after its last key', async () => {
  const pages = await read(1)
  expect(pages.flat()).toEqual([5_000, 10_000, 15_000, 20_000, 25_000].map(key))
  expect(Math.max(...pages.map(({ length }) => length))).toBe(1)
})
