import { decodeProtectedHeader } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { exchange } from '../oauth/token-post.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { externalVerifier } from '../tokens/external-verifier.ts'

interface Key {
  kid: string
  state: string
  published_at: string
  activates_at: string | null
}

const listed = async (mintmark: TestService): Promise<Key[]> =>
  (await mintmark.admin('GET', '/signing-keys')).body.data
const publishedKids = async (mintmark: TestService): Promise<string[]> =>
  (await request(`${mintmark.service.urls.public}/.well-known/jwks.json`)).body.keys.map(
    (key: Key) => key.kid,
  )
const rotate = (mintmark: TestService) => mintmark.admin('POST', '/signing-keys/rotate', {})

describe('With the publish lead that istiod needs', () => {
  let mintmark: TestService
  beforeAll(async () => {
    mintmark = await startTestService()
  })
  afterAll(() => mintmark.stop())

  it('GET /signing-keys shows the active key and the standby, without key material', async () => {
    const { status, body } = await mintmark.admin('GET', '/signing-keys')
    expect({ status, cursor: body.next_cursor }).toEqual({ status: 200, cursor: null })
    const shared = {
      kid: expect.stringMatching(/^[\w-]{43}$/),
      alg: 'ES256',
      published_at: expect.any(String),
      retires_at: null,
      held: false,
    }
    expect(body.data).toHaveLength(2)
    expect(body.data).toContainEqual({ ...shared, state: 'active', activates_at: expect.any(String) })
    expect(body.data).toContainEqual({ ...shared, state: 'standby', activates_at: expect.any(String) })
    const at = (state: string) => Date.parse(body.data.find((key: Key) => key.state === state).activates_at)
    expect(at('standby') - at('active')).toBe(2_592_000_000)
    expect(await publishedKids(mintmark)).toEqual(body.data.map((key: Key) => key.kid).sort())
  })

  it('a rotation schedules the activation for the end of the lead, and is idempotent', async () => {
    const standby = (await listed(mintmark)).find(key => key.state === 'standby')
    const first = await rotate(mintmark)
    expect(first).toMatchObject({ status: 200, body: { kid: standby?.kid } })
    const lead = Date.parse(first.body.activates_at) - Date.parse(standby?.published_at ?? '')
    expect(lead).toBeGreaterThanOrEqual(7200 * 1000)
    expect((await rotate(mintmark)).body).toEqual(first.body)
  })

  it('until then the same key signs', async () => {
    const active = (await listed(mintmark)).find(key => key.state === 'active')
    const { secret } = await mintmark.tenantWithKey()
    await rotate(mintmark)
    const { body } = await exchange(mintmark, secret)
    expect(decodeProtectedHeader(body.access_token).kid).toBe(active?.kid)
  })

  it('GET /installation shows the policy that all replicas share', async () => {
    const { status, body } = await mintmark.admin('GET', '/installation')
    expect(status).toBe(200)
    expect(body).toMatchObject({
      id: expect.any(String),
      issuer: 'https://tokens.example.test',
      policy: { signing_alg: 'ES256', publish_lead_seconds: 7200 },
    })
  })
})

describe('With a publish lead of a second', () => {
  let mintmark: TestService
  beforeAll(async () => {
    mintmark = await startTestService({
      env: { MINTMARK_PUBLISH_LEAD_SECONDS: '1', MINTMARK_SHORT_PUBLISH_LEAD: 'allowed' },
    })
  })
  afterAll(() => mintmark.stop())

  it('a rotation changes the signing key; tokens of both keys verify, and the next one is published', async () => {
    const verify = externalVerifier(mintmark)
    const { secret } = await mintmark.tenantWithKey()
    const token = async () => (await exchange(mintmark, secret)).body.access_token as string
    const before = await token()
    const { body } = await rotate(mintmark)
    expect(decodeProtectedHeader(before).kid).not.toBe(body.kid)

    const after = await until(
      'a token of the new key',
      token,
      jwt => decodeProtectedHeader(jwt).kid === body.kid,
    )
    // Not earlier than announced; issued times are whole seconds.
    expect((await verify(after)).payload.iat).toBeGreaterThanOrEqual(
      Math.floor(Date.parse(body.activates_at) / 1000),
    )
    expect((await verify(before)).protectedHeader.kid).toBe(decodeProtectedHeader(before).kid)

    const states = async () => (await listed(mintmark)).map(key => key.state).sort()
    await until('a new standby', states, seen => seen.join() === 'active,retiring,standby')
    await until(
      'it is published',
      () => publishedKids(mintmark),
      kids => kids.length === 3,
    )
    expect((await verify(before)).protectedHeader.kid).toBe(decodeProtectedHeader(before).kid)
  })
})
