import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatCredential, randomId } from '../../src/api-keys/api-key.ts'
import { systemRandom } from '../../src/system/random.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { scrape } from './metrics-text.ts'

let mintmark: TestService
beforeAll(async () => {
  mintmark = await startTestService()
})
afterAll(() => mintmark.stop())

type Key = Awaited<ReturnType<TestService['tenantWithKey']>>
const exchange = (secret: string, more: Record<string, string> = {}) =>
  mintmark.token({ grant_type: 'client_credentials', client_secret: secret, ...more })
const once = (method: string, path: (key: Key) => string, body?: object) => async (key: Key) => {
  await mintmark.admin(method, path(key), body)
  await exchange(key.secret)
}

async function outcomes(service = mintmark): Promise<Record<string, number>> {
  const { series } = await scrape(service.service.urls.ops)
  const own = [...series].filter(([name]) => name.startsWith('mintmark_exchanges_total'))
  return Object.fromEntries(own.map(([name, value]) => [/outcome="(\w+)"/.exec(name)?.[1], value]))
}

describe('an exchange is counted once, as', () => {
  it.each<[string, (key: Key) => Promise<unknown>]>([
    ['ok', key => exchange(key.secret)],
    ['malformed', key => exchange(`${key.secret}x`)],
    ['unknown', key => exchange(formatCredential('mmk', key.keyId.slice(4), systemRandom))],
    ['client_mismatch', key => exchange(key.secret, { client_id: 'nobody' })],
    ['key_revoked', once('POST', key => `/keys/${key.keyId}/revoke`)],
    ['key_disabled', once('POST', key => `/keys/${key.keyId}/disable`)],
    ['secret_revoked', once('POST', key => `/keys/${key.keyId}/secrets/${key.secretId}/revoke`)],
    ['secret_ended', once('POST', key => `/keys/${key.keyId}/rotate`, { overlap_seconds: 0 })],
    ['tenant_suspended', once('POST', key => `/tenants/${key.tenantId}/suspend`)],
    ['invalid_scope', key => exchange(key.secret, { scope: 'everything' })],
    ['invalid_target', key => exchange(key.secret, { audience: 'elsewhere' })],
    ['invalid_request', key => exchange(key.secret, { grant_type: '' })],
    ['unsupported_grant_type', key => exchange(key.secret, { grant_type: 'password' })],
    ['invalid_client', () => mintmark.token({ grant_type: 'client_credentials' })],
  ])('%s', async (outcome, act) => {
    const key = await mintmark.tenantWithKey()
    const before = await outcomes()
    await act(key)
    expect(await outcomes()).toEqual({ ...before, [outcome]: (before[outcome] ?? 0) + 1 })
  })

  it('wrong_secret, when an imported client sends another one', async () => {
    const { tenantId: tenant } = await mintmark.tenantWithKey()
    const client = { client_id: 'imported', tenant, scheme: 'sha256', hash: 'a'.repeat(64) }
    await mintmark.admin('POST', '/imported-clients', { clients: [client] })
    const before = await outcomes()
    await exchange('a guess', { client_id: 'imported' })
    expect(await outcomes()).toEqual({ ...before, wrong_secret: (before.wrong_secret ?? 0) + 1 })
  })

  it('server_error, for an unexpected error', async () => {
    const before = await outcomes()
    // A division by zero is no fault that passes by itself, unlike rights or tables that are missing.
    await mintmark.database.asOwner(`ALTER TABLE api_key_secrets RENAME TO hidden`)
    await mintmark.database.asOwner(`CREATE VIEW api_key_secrets AS SELECT * FROM hidden WHERE 1 / 0 = 1`)
    await mintmark.database.asOwner(`GRANT SELECT ON api_key_secrets TO mintmark_app`)
    await exchange(formatCredential('mmk', 'A'.repeat(16), systemRandom))
    await mintmark.database.asOwner(`DROP VIEW api_key_secrets`)
    await mintmark.database.asOwner(`ALTER TABLE hidden RENAME TO api_key_secrets`)
    expect(await outcomes()).toEqual({ ...before, server_error: (before.server_error ?? 0) + 1 })
  })

  it('too_many_failures, when the address sent too many unknown keys', async () => {
    const strict = await startTestService({ env: { MINTMARK_FAILURES_PER_MINUTE: '2' } })
    for (let count = 0; count < 5; count++) {
      const client_secret = formatCredential('mmk', randomId(systemRandom), systemRandom)
      await strict.token({ grant_type: 'client_credentials', client_secret })
    }
    const { unknown, too_many_failures } = await outcomes(strict)
    expect([unknown, too_many_failures]).toEqual([2, 3])
    await strict.stop()
  })

  it('nothing, when it is a request for something else', async () => {
    const before = await outcomes()
    const { urls } = mintmark.service
    for (const path of ['/oauth/token', '/.well-known/jwks.json', '/oauth/token/', '/oauth'])
      await fetch(urls.public + path)
    expect(await outcomes()).toEqual(before)
  })
})
