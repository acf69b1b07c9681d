import { afterAll, beforeAll, expect, it } from 'vitest'
import { promptedClock } from '../support/adjustable-clock.ts'
import { startTestService, type TestService } from '../support/test-service.ts'

/** What is removed each hour: records that are over, and none that is not. */

const HOUR_MS = 3_600_000
const clock = promptedClock(HOUR_MS)
let mintmark: TestService
let over: Awaited<ReturnType<TestService['tenantWithKey']>>
let live: typeof over
beforeAll(async () => {
  mintmark = await startTestService({ overrides: { clock } })
  over = await mintmark.tenantWithKey()
  live = await mintmark.tenantWithKey()
  await mintmark.admin('POST', `/keys/${over.keyId}/revoke`)
})
afterAll(() => mintmark.stop())

/** Two rows for each table: `insert` writes one that is over and one that is not, `names` names those that exist. */
const RECORDS: [table: string, insert: () => string, names: string][] = [
  [
    'idempotency_keys',
    () => `(actor, method, path, key, body_digest, created_at) VALUES
      ('root', 'POST', '/', 'over', sha256('over'), now() - interval '24 hours 1 minute'),
      ('root', 'POST', '/', 'live', sha256('live'), now() - interval '23 hours 59 minutes')`,
    'key',
  ],
  [
    'key_usage',
    () => `(key_id, day, outcome, count) VALUES
      ('${live.keyId}', (now() - interval '401 days')::date, 'over', 1),
      ('${live.keyId}', (now() - interval '399 days')::date, 'live', 1)`,
    'outcome',
  ],
  [
    'secret_proofs',
    () => `(secret_id, digest, pepper_id) VALUES
      ('${over.secretId}', sha256('over'), 'p1'), ('${live.secretId}', sha256('live'), 'p1')`,
    `CASE secret_id WHEN $1 THEN 'live' ELSE 'over' END`,
  ],
  [
    'token_revocations',
    () => `(claim, value, ends_at) VALUES
      ('jti', 'over', now() - interval '1 second'), ('jti', 'live', now() + interval '1 hour')`,
    'value',
  ],
  [
    'used_assertions',
    () => `(digest, expires_at) VALUES
      (sha256('over'), now() - interval '1 second'), (sha256('live'), now() + interval '1 hour')`,
    `CASE digest WHEN sha256('live') THEN 'live' ELSE 'over' END`,
  ],
  [
    'replicas',
    () => `(id, host, seen_at, staleness_seconds, kids) VALUES
      (gen_random_uuid(), 'over', now() - interval '25 hours', 60, '{}'),
      (gen_random_uuid(), 'live', now() - interval '23 hours', 60, '{}')`,
    'host',
  ],
]

it.each(RECORDS)('%s loses what is over each hour, and nothing else', async (table, insert, names) => {
  const { asOwner } = mintmark.database
  const values = names.includes('$1') ? [live.secretId] : []
  const there = async () => {
    const rows = await asOwner<{ name: string }>(`SELECT ${names} AS name FROM ${table}`, values)
    return rows.map(({ name }) => name).filter(name => name === 'over' || name === 'live')
  }
  await asOwner(`INSERT INTO ${table} ${insert()}`)
  expect((await there()).sort()).toEqual(['live', 'over'])
  await clock.runJobs()
  expect(await there()).toEqual(['live'])
})
