import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatCredential } from '../../src/api-keys/api-key.ts'
import { systemRandom } from '../../src/system/random.ts'
import { jws, newPair } from '../identity-providers/assertions.ts'
import { startTestService, type TestService } from '../support/test-service.ts'

/** MINTMARK_FAILURES_PER_MINUTE for assertions: refused ones count, and a good one is never refused because of them. */

const PER_MINUTE = 5
const ISSUER = 'https://issuer.example.com'
const JWT = 'urn:ietf:params:oauth:token-type:jwt'
const pair = newPair('one')

let mintmark: TestService
let keyId: string
beforeAll(async () => {
  mintmark = await startTestService({
    env: { MINTMARK_FAILURES_PER_MINUTE: String(PER_MINUTE), MINTMARK_TRUSTED_PROXIES: '127.0.0.0/8' },
  })
  await mintmark.admin('POST', '/tenants', { id: 'acme' })
  const provider = { kind: 'oidc', issuer: ISSUER, audiences: ['mintmark'], algorithms: ['ES256'] }
  const { body } = await mintmark.admin('POST', '/identity-providers', {
    ...provider,
    jwks: { keys: [pair.jwk] },
  })
  const credential = { type: 'federated', provider: body.id, subject: 'robot' }
  keyId = (await mintmark.admin('POST', '/tenants/acme/workload-keys', { credential })).body.key
})
afterAll(() => mintmark.stop())

let addresses = 0
const anAddress = () => `198.51.100.${++addresses}`
const exp = () => Math.floor(Date.now() / 1000) + 600
const good = (more: object = {}) =>
  jws(pair, { alg: 'ES256', kid: 'one' }, { iss: ISSUER, aud: 'mintmark', sub: 'robot', exp: exp(), ...more })

const FORMS: Record<string, (assertion: string) => Record<string, string>> = {
  'token exchange': assertion => ({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token_type: JWT,
    subject_token: assertion,
  }),
  'jwt-bearer': assertion => ({
    grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
    assertion,
  }),
  'a client assertion': assertion => ({
    grant_type: 'client_credentials',
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: assertion,
  }),
}
const present = (form: Record<string, string>, from: string) =>
  mintmark.token(form, { 'x-forwarded-for': from })

describe.each(Object.entries(FORMS))('refused by %s', (_, formOf) => {
  it('is 429 after the limit, with Retry-After, and alike for every reason', async () => {
    const from = anAddress()
    const wrong = ['nonsense', good({ sub: 'other' }), good({ exp: 1 })]
    const statuses: number[] = []
    for (let time = 0; time < PER_MINUTE + 3; time++)
      statuses.push((await present(formOf(wrong[time % 3] ?? ''), from)).status)
    const refused = statuses[0]
    expect([400, 401]).toContain(refused)
    expect(statuses).toEqual([...Array(PER_MINUTE).fill(refused), 429, 429, 429])
    const { headers, body } = await present(formOf('nonsense'), from)
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0)
    expect(body).toEqual({
      error: 'slow_down',
      error_description: 'Too many invalid assertions from this address. Retry later.',
    })
    expect((await present(formOf('nonsense'), anAddress())).status).toBe(refused)
  })
})

describe('from an address beyond the limit', () => {
  const from = anAddress()
  const exchange = (assertion: string) => present(FORMS['token exchange']?.(assertion) ?? {}, from)
  beforeAll(async () => {
    for (let time = 0; time < PER_MINUTE + 1; time++) await exchange('nonsense')
  })

  it('a good assertion is exchanged, always', async () => {
    for (let time = 0; time < 20; time++) expect((await exchange(good())).status).toBe(200)
    expect((await exchange('nonsense')).status).toBe(429)
  })

  it('the assertion of a disabled key is refused as before, and does not count', async () => {
    await mintmark.admin('POST', `/keys/${keyId}/disable`)
    expect((await exchange(good())).status).toBe(400)
    await mintmark.admin('POST', `/keys/${keyId}/enable`)
    expect((await exchange(good())).status).toBe(200)
  })

  it('an unknown API key is limited too: an address has one limit', async () => {
    const secret = formatCredential('mmk', 'A'.repeat(16), systemRandom)
    const form = { grant_type: 'client_credentials', client_secret: secret }
    expect((await present(form, from)).status).toBe(429)
  })
})
