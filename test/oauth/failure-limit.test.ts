import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatCredential } from '../../src/api-keys/api-key.ts'
import { systemRandom } from '../../src/system/random.ts'
import { NO_SERVER, startReplica } from '../support/replicas.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { startTestService, type TestService } from '../support/test-service.ts'

const PER_MINUTE = 5

let mintmark: TestService
let key: Awaited<ReturnType<TestService['tenantWithKey']>>

beforeAll(async () => {
  mintmark = await startTestService({
    env: { MINTMARK_FAILURES_PER_MINUTE: String(PER_MINUTE), MINTMARK_TRUSTED_PROXIES: '127.0.0.0/8' },
  })
  key = await mintmark.tenantWithKey()
})
afterAll(() => mintmark.stop())

let addresses = 0
/** An address without any counted failures. */
const anAddress = () => `198.51.100.${++addresses}`
const anUnknownKey = (id = 'A'.repeat(16)) => formatCredential('mmk', id, systemRandom)

const exchange = (secret: string, from: string, clientId?: string, at = mintmark) =>
  at.token(
    { grant_type: 'client_credentials', client_secret: secret, ...(clientId && { client_id: clientId }) },
    { 'x-forwarded-for': from },
  )

/** Statuses of unknown keys one after another, beyond the limit. */
async function fail(from: string, clientId?: string, at = mintmark): Promise<number[]> {
  const statuses: number[] = []
  for (let time = 0; time < PER_MINUTE + 3; time++)
    statuses.push((await exchange(anUnknownKey(), from, clientId, at)).status)
  return statuses
}

const LIMITED = [...Array(PER_MINUTE).fill(401), 429, 429, 429]

describe('unknown keys, from one address', () => {
  it('are 401 up to the limit, and then 429 with Retry-After and the reason', async () => {
    const from = anAddress()
    expect(await fail(from)).toEqual(LIMITED)
    const { status, headers, body } = await exchange(anUnknownKey(), from)
    expect(status).toBe(429)
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0)
    expect(Number(headers.get('retry-after'))).toBeLessThanOrEqual(60)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(body.error).toBe('slow_down')
    expect(mintmark.logs.at(-1)).toContain('too_many_failures')
  })

  it('are counted like a key that was revoked, although the database has it', async () => {
    const [from, revoked] = [anAddress(), await mintmark.tenantWithKey()]
    await mintmark.admin('POST', `/keys/${revoked.keyId}/revoke`)
    const statuses: number[] = []
    for (let time = 0; time < PER_MINUTE + 3; time++)
      statuses.push((await exchange(revoked.secret, from)).status)
    expect(statuses).toEqual(LIMITED)
  })

  it('do not affect the responses to other addresses', async () => {
    await fail(anAddress())
    expect((await exchange(anUnknownKey(), anAddress())).status).toBe(401)
  })

  it('are counted by the network in which an IPv6 client can change addresses', async () => {
    await fail('2001:db8:7:100::1')
    expect((await exchange(anUnknownKey(), '2001:db8:7:1ff:dead:beef::1')).status).toBe(429)
    expect((await exchange(anUnknownKey(), '2001:db8:7:200::1')).status).toBe(401)
  })

  it('are counted together when a proxy adds each connection’s port', async () => {
    const from = anAddress()
    const statuses: number[] = []
    for (let port = 40_000; port < 40_000 + PER_MINUTE + 3; port++)
      statuses.push((await exchange(anUnknownKey(), `${from}:${port}`)).status)
    expect(statuses).toEqual(LIMITED)
  })

  it('lock out no client by naming an honest tenant or its key', async () => {
    const from = anAddress()
    await fail(from, key.tenantId)
    await fail(from, key.keyId)
    expect((await exchange(key.secret, from, key.tenantId)).status).toBe(200)
    expect((await exchange(key.secret, anAddress(), key.keyId)).status).toBe(200)
  })
})

describe('never limited, even from an address that is', () => {
  let from: string
  beforeAll(async () => {
    from = anAddress()
    await fail(from)
  })

  it('is a known key', async () => {
    for (let time = 0; time < 3 * PER_MINUTE; time++)
      expect((await exchange(key.secret, from)).status).toBe(200)
  })

  it('is a known key that is rejected: of a suspended tenant, or presented for another client', async () => {
    const suspended = await mintmark.tenantWithKey()
    await mintmark.admin('POST', `/tenants/${suspended.tenantId}/suspend`)
    for (let time = 0; time < 2 * PER_MINUTE; time++) {
      expect((await exchange(suspended.secret, from)).body.error).toBe('unauthorized_client')
      expect((await exchange(key.secret, from, 'nobody')).status).toBe(401)
    }
  })

  it('is a key of a tenant for which each exchange queries Postgres', async () => {
    const strict = await mintmark.tenantWithKey({ staleness_seconds: 0 })
    for (let time = 0; time < 2 * PER_MINUTE; time++)
      expect((await exchange(strict.secret, from)).status).toBe(200)
  })

  it('is a malformed key: that is 401, without any lookup', async () => {
    expect((await exchange('hunter2', from)).status).toBe(401)
  })
})

it('does not count keys that the database has: those beyond the directory’s size limit', async () => {
  const small = await startReplica(mintmark, { MINTMARK_DIRECTORY_MAX_KEYS: '1' })
  try {
    const from = anAddress()
    const others = [await mintmark.tenantWithKey(), await mintmark.tenantWithKey()]
    for (let time = 0; time < 2 * PER_MINUTE; time++)
      for (const { secret } of others)
        expect((await exchange(secret, from, undefined, small)).status).toBe(200)
  } finally {
    await small.stop()
  }
})

it('does not count attempts that failed because of the service', async () => {
  const proxy = await TcpProxy.before(mintmark.database.applicationUrl)
  const replica = await startReplica(mintmark, { DATABASE_URL: proxy.url, DATABASE_URL_DIRECT: NO_SERVER })
  try {
    await proxy.become('refuse')
    const from = anAddress()
    for (let time = 0; time < 2 * PER_MINUTE; time++)
      expect((await exchange(anUnknownKey(), from, undefined, replica)).status).toBe(503)
  } finally {
    await proxy.become('none')
    await replica.stop()
    await proxy.close()
  }
})

it('trusts X-Forwarded-For only from a trusted proxy', async () => {
  const direct = await startReplica(mintmark, { MINTMARK_TRUSTED_PROXIES: '192.0.2.0/24' })
  try {
    const statuses: number[] = []
    for (let time = 0; time < PER_MINUTE + 3; time++)
      statuses.push((await exchange(anUnknownKey(), anAddress(), undefined, direct)).status)
    expect(statuses).toEqual(LIMITED)
  } finally {
    await direct.stop()
  }
})
