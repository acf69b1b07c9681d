import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatCredential } from '../../src/api-keys/api-key.ts'
import { KeyDigests } from '../../src/api-keys/key-digest.ts'
import { Database } from '../../src/database/database.ts'
import { Unavailable } from '../../src/errors.ts'
import { createLogger } from '../../src/system/logger.ts'
import { systemRandom } from '../../src/system/random.ts'
import { Secret } from '../../src/system/secret.ts'
import { KnownReporters } from '../../src/usage/known-reporters.ts'
import { PATIENT } from '../support/patient.ts'
import { startTestService, type TestService } from '../support/test-service.ts'

let mintmark: TestService
let admin: TestService['admin']
beforeAll(async () => {
  mintmark = await startTestService()
  ;({ admin } = mintmark)
})
afterAll(() => mintmark.stop())

describe('Usage reporters', () => {
  it('have a secret that is shown once, and stored as an HMAC only', async () => {
    const made = await admin('POST', '/usage-reporters', { name: 'envoy', audiences: ['vllm'] })
    expect(made.status).toBe(201)
    const { id, secret } = made.body
    expect(secret).toMatch(/^mmr_[0-9A-Za-z]{16}_[0-9A-Za-z]{49}$/)
    expect(made.body).toMatchObject({
      name: 'envoy',
      audiences: ['vllm'],
      state: 'active',
      created_by: 'root',
    })
    for (const path of [`/usage-reporters/${id}`, '/usage-reporters', '/audit-events'])
      expect((await admin('GET', path)).text).not.toContain(secret.slice(-49))
    const rows = await mintmark.database.asOwner<{ row: string }>(
      'SELECT r::text AS row FROM usage_reporters AS r',
    )
    expect(rows.map(({ row }) => row).join()).not.toContain(secret.slice(-49))
  })

  it('stay readable after they are deleted, once or twice', async () => {
    const { body } = await admin('POST', '/usage-reporters', { audiences: ['vllm'] })
    const path = `/usage-reporters/${body.id}`
    expect((await admin('DELETE', path)).status).toBe(204)
    const after = await admin('GET', path)
    expect(after.body).toMatchObject({ state: 'deleted', deleted_at: expect.any(String) })
    expect((await admin('DELETE', path)).status).toBe(204)
    expect((await admin('GET', path)).body).toEqual(after.body)
    const audited = await admin('GET', `/audit-events?limit=100`)
    const own = audited.body.data.filter((event: { target_id: string }) => event.target_id === body.id)
    expect(own.map((event: { action: string }) => event.action)).toEqual([
      'usage-reporter.delete',
      'usage-reporter.create',
    ])
  })

  it('are identified by a secret that they have or had, without echoing it', async () => {
    const { body: made } = await admin('POST', '/usage-reporters', { audiences: ['vllm'] })
    const { body: rotated } = await admin('POST', `/usage-reporters/${made.id}/rotate`, {})
    const inspect = (secret: string) => admin('POST', '/usage-reporters/inspect', { secret })
    const newest = await inspect(` ${rotated.secret}\n`)
    expect(newest.body).toMatchObject({
      usage_reporter: { id: made.id, state: 'active' },
      secret_id: rotated.secret_id,
      secret_ends_at: null,
    })
    expect(newest.text).not.toContain(rotated.secret.slice(-49))
    expect((await inspect(made.secret)).body).toMatchObject({
      usage_reporter: { id: made.id },
      secret_id: made.secret_id,
      secret_ends_at: rotated.older_secret_ends_at,
    })
    await admin('DELETE', `/usage-reporters/${made.id}`)
    expect((await inspect(made.secret)).body.usage_reporter.state).toBe('deleted')
    const { secret: key } = await mintmark.tenantWithKey()
    const unknown = formatCredential('mmr', 'a'.repeat(16), systemRandom)
    for (const other of [key, unknown, 'hunter2', ''])
      expect((await inspect(other)).body).toEqual({
        well_formed: other === unknown,
        usage_reporter: null,
        secret_id: null,
        secret_ends_at: null,
      })
  })

  it.each([
    ['no audience', { audiences: [] }],
    ['an audience twice', { audiences: ['vllm', 'vllm'] }],
    ['no list', { name: 'envoy' }],
  ])('need audiences: %s is invalid', async (_, body) => {
    expect((await admin('POST', '/usage-reporters', body)).status).toBe(400)
  })
})

it('Usage reporters are at most 1,000, without those that are deleted', async () => {
  const { asOwner } = mintmark.database
  const [row] = await asOwner<{ count: number }>(
    'SELECT count(*)::int AS count FROM usage_reporters WHERE deleted_at IS NULL',
  )
  await asOwner(
    `INSERT INTO usage_reporters (id, name, audiences, created_by, digest, pepper_id)
     SELECT 'rep_' || lpad(n::text, 16, '0'), 'filler', '{vllm}', 'test', sha256(n::text::bytea), 'p1'
     FROM generate_series(1, 999 - $1::int) AS n`,
    [row?.count],
  )
  const create = () => admin('POST', '/usage-reporters', { audiences: ['vllm'] })
  const last = await create()
  expect(last.status, last.text).toBe(201)
  const refused = await create()
  expect([refused.status, refused.text]).toEqual([409, expect.stringContaining('too_many_usage_reporters')])
  await admin('DELETE', `/usage-reporters/${last.body.id}`)
  expect((await create()).status).toBe(201)
  await asOwner("DELETE FROM usage_reporters WHERE name = 'filler'")
})

it('A secret that this process issued and could not read yet is 503, and not called wrong', async () => {
  const url = mintmark.database.applicationUrl
  const database = new Database({
    url: () => url,
    maxConnections: 1,
    logger: createLogger('silent'),
    timeouts: PATIENT,
  })
  const digests = new KeyDigests([{ id: 'p1', key: new Secret(Buffer.alloc(32)) }])
  const known = new KnownReporters({
    database,
    digests,
    logger: createLogger('silent'),
    isEnded: () => false,
  })
  ;(await known.load())()
  const secret = formatCredential('mmr', 'a'.repeat(16), systemRandom)
  expect(known.authenticate(secret)).toBeUndefined()
  known.forget()
  expect(() => known.authenticate(secret)).toThrow(Unavailable)
  expect(known.authenticate('another text')).toBeUndefined()
  ;(await database.run(trx => known.read(trx)))()
  expect(known.authenticate(secret)).toBeUndefined()
  await database.close()
})
