import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatCredential } from '../../src/api-keys/api-key.ts'
import { systemRandom } from '../../src/system/random.ts'
import { briskClock } from '../support/adjustable-clock.ts'
import { NO_SERVER, startReplica } from '../support/replicas.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

type Key = Awaited<ReturnType<TestService['tenantWithKey']>>

let mintmark: TestService
const BRISK = { clock: briskClock }

beforeAll(async () => {
  mintmark = await startTestService({ overrides: BRISK })
})
afterAll(() => mintmark.stop())

const exchange = ({ secret }: Key, at = mintmark, clientId?: string) =>
  at.token({
    grant_type: 'client_credentials',
    client_secret: secret,
    ...(clientId && { client_id: clientId }),
  })

async function usage({ keyId }: Key): Promise<Record<string, number>> {
  const rows = await mintmark.database.asOwner<{ outcome: string; count: string }>(
    // Of all days: one may begin during a test.
    'SELECT outcome, sum(count) AS count FROM key_usage WHERE key_id = $1 GROUP BY outcome',
    [keyId],
  )
  return Object.fromEntries(rows.map(({ outcome, count }) => [outcome, Number(count)]))
}

const lastUse = async ({ keyId }: Key) =>
  (await mintmark.admin('GET', `/keys/${keyId}`)).body.secrets[0].last_used_at as string | null

describe('deferred writes of exchanges', () => {
  it('are stored seconds later: the last use, and counts by outcome', async () => {
    const key = await mintmark.tenantWithKey()
    expect(await lastUse(key)).toBeNull()
    for (let time = 0; time < 3; time++) await exchange(key)
    await exchange(key, mintmark, 'nobody')
    await exchange({ ...key, secret: formatCredential('mmk', key.keyId.slice(4), systemRandom) })
    const counts = await until(
      'written',
      () => usage(key),
      // The last of them: what came before it is written before it, or with it.
      found => 'unknown' in found,
    )
    expect(counts).toEqual({ exchanged: 3, client_mismatch: 1, unknown: 1 })
    const used = await lastUse(key)
    expect(Math.abs(Date.parse(used ?? '') - Date.now())).toBeLessThan(30_000)
    const [row] = await mintmark.database.asOwner<{ day: string }>(
      'SELECT last_used_on::text AS day FROM api_keys WHERE id = $1',
      [key.keyId],
    )
    expect(row?.day).toBe(used?.slice(0, 10))
  })

  it('include rejections: suspended, revoked, and with a scope that is not granted', async () => {
    const key = await mintmark.tenantWithKey()
    await mintmark.token({
      grant_type: 'client_credentials',
      client_secret: key.secret,
      scope: 'everything',
    })
    await mintmark.admin('POST', `/tenants/${key.tenantId}/suspend`)
    await exchange(key)
    await mintmark.admin('POST', `/tenants/${key.tenantId}/resume`)
    await mintmark.admin('POST', `/keys/${key.keyId}/revoke`)
    await exchange(key)
    const counts = await until(
      'written',
      () => usage(key),
      found => 'key_revoked' in found,
    )
    expect(counts).toEqual({ invalid_scope: 1, tenant_suspended: 1, key_revoked: 1 })
  })

  it('ignore ids that do not exist', async () => {
    const before = await mintmark.database.asOwner('SELECT FROM key_usage')
    const secret = formatCredential('mmk', 'Z'.repeat(16), systemRandom)
    await mintmark.token({ grant_type: 'client_credentials', client_secret: secret })
    const key = await mintmark.tenantWithKey()
    await exchange(key)
    await until(
      'the next batch',
      () => usage(key),
      found => 'exchanged' in found,
    )
    expect(await mintmark.database.asOwner('SELECT FROM key_usage')).toHaveLength(before.length + 1)
  })

  it('of several replicas is summed, and written when they drain', async () => {
    const key = await mintmark.tenantWithKey()
    const replicas = await Promise.all([startReplica(mintmark, {}, BRISK), startReplica(mintmark, {}, BRISK)])
    for (const replica of replicas)
      for (let time = 0; time < 25; time++) expect((await exchange(key, replica)).status).toBe(200)
    await Promise.all(replicas.map(replica => replica.stop()))
    expect(await usage(key)).toEqual({ exchanged: 50 })
    expect(await lastUse(key)).not.toBeNull()
  })
})

describe('a row that an administrator has locked', () => {
  it('is skipped: neither waits for the other, and its counts are written later', async () => {
    const [held, free] = [await mintmark.tenantWithKey(), await mintmark.tenantWithKey()]
    const administrator = new pg.Client({ connectionString: mintmark.database.ownerUrl })
    await administrator.connect()
    try {
      await administrator.query('BEGIN')
      await administrator.query('SELECT FROM api_keys WHERE id = $1 FOR UPDATE', [held.keyId])
      await exchange(held)
      await exchange(free)
      await until(
        'the other is written',
        () => usage(free),
        found => 'exchanged' in found,
      )
      expect(await usage(held)).toEqual({})
      await administrator.query('COMMIT')
    } finally {
      await administrator.end()
    }
    await until(
      'this one, too',
      () => usage(held),
      found => found.exchanged === 1,
    )
  })
})

describe('while the database is down', () => {
  it('exchanges continue, and their writes follow once it is back', async () => {
    const key = await mintmark.tenantWithKey()
    const proxy = await TcpProxy.before(mintmark.database.applicationUrl)
    const replica = await startReplica(
      mintmark,
      { DATABASE_URL: proxy.url, DATABASE_URL_DIRECT: NO_SERVER },
      BRISK,
    )
    try {
      await proxy.become('refuse')
      for (let time = 0; time < 20; time++) expect((await exchange(key, replica)).status).toBe(200)
      await until('a batch has failed', () =>
        replica.logs.some(line => line.includes('store last uses and counts')),
      )
      expect(await usage(key)).toEqual({})
      await proxy.become('none')
      await until(
        'written',
        () => usage(key),
        found => found.exchanged === 20,
      )
    } finally {
      await replica.stop()
      await proxy.close()
    }
  })
})

describe('a new first pepper', () => {
  const pepper = (id: string) => `${id}:${randomBytes(32).toString('base64url')}`
  const pepperOf = async ({ keyId }: Key) =>
    (
      await mintmark.database.asOwner<{ pepper_id: string }>(
        'SELECT pepper_id FROM api_key_secrets WHERE key_id = $1',
        [keyId],
      )
    )[0]?.pepper_id

  it('re-digests each used secret once, while every replica keeps finding it', async () => {
    const key = await mintmark.tenantWithKey()
    const idle = await mintmark.tenantWithKey()
    const old = mintmark.environment.MINTMARK_PEPPERS ?? ''
    const next = pepper('p2')
    const both = await startReplica(mintmark, { MINTMARK_PEPPERS: `${old},${next}` }, BRISK)
    const moved = await startReplica(mintmark, { MINTMARK_PEPPERS: `${next},${old}` }, BRISK)
    try {
      expect((await exchange(key, moved)).status).toBe(200)
      await until(
        're-digested',
        () => pepperOf(key),
        id => id === 'p2',
      )
      // A change makes replicas reload the key.
      await mintmark.admin('PATCH', `/keys/${key.keyId}`, { name: 'renamed' })
      for (const replica of [moved, both]) {
        expect((await exchange(key, replica)).status).toBe(200)
        expect((await exchange(idle, replica)).status).toBe(200)
      }
      // Found by its new digest at once, so it is not written again.
      const writes = () =>
        mintmark.database.asOwner('SELECT xmin FROM api_key_secrets WHERE key_id = $1', [key.keyId])
      const before = await writes()
      await exchange(key, moved)
      await exchange(key, both)
      await Promise.all([moved.stop(), both.stop()])
      expect(await writes()).toEqual(before)
    } finally {
      await Promise.all([both.stop(), moved.stop()])
    }
  })
})
