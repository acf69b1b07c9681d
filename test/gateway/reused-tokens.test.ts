import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { type Clock, systemClock } from '../../src/system/clock.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { admitted, ask, bearer, deniedAs, tokenFor } from './check-client.ts'

let mintmark: TestService
let aheadMs = 0
/** While it is set, only `aheadMs` changes the time. */
let frozenAt: number | undefined
beforeAll(async () => {
  const clock: Clock = {
    ...systemClock,
    monotonicMs: () => (frozenAt ?? systemClock.monotonicMs()) + aheadMs,
    // Database time is measured each second, which would undo the change; this one is extrapolated from the start.
    every: (ms, task) => (ms === 1_000 ? () => {} : systemClock.every(ms, task)),
  }
  mintmark = await startTestService({ overrides: { clock } })
})
afterAll(() => mintmark.stop())

const swap = async (secret: string) => admitted(await ask(mintmark, { headers: bearer(secret) }))

describe('a reused token', () => {
  it('is reused for the same secret, and for no other', async () => {
    const one = await mintmark.tenantWithKey()
    const first = await swap(one.secret)
    expect((await swap(one.secret)).jwt).toBe(first.jwt)
    const { body } = await mintmark.admin('POST', `/keys/${one.keyId}/rotate`, {})
    const newer = await swap(body.secret)
    expect(newer.jwt).not.toBe(first.jwt)
    expect(newer.claims.sub).toBe(first.claims.sub)
  })

  it('is not reused after half its lifetime', async () => {
    const { secret } = await mintmark.tenantWithKey({ token_ttl_seconds: 60 })
    frozenAt = systemClock.monotonicMs()
    onTestFinished(() => {
      frozenAt = undefined
    })
    const first = await swap(secret)
    aheadMs += 28_000
    expect((await swap(secret)).jwt).toBe(first.jwt)
    aheadMs += 3_000
    const next = await swap(secret)
    expect(next.jwt).not.toBe(first.jwt)
    expect(next.claims.exp - first.claims.exp).toBeGreaterThanOrEqual(30)
  })

  it('is not reused after any applied change', async () => {
    const { secret, tenantId } = await mintmark.tenantWithKey({ tier: 'batch', allowed_tiers: ['batch'] })
    const first = await swap(secret)
    expect(first.claims.priority).toBe('10')
    await mintmark.admin('PATCH', `/tenants/${tenantId}`, { tier: 'premium', allowed_tiers: ['premium'] })
    expect((await swap(secret)).claims.priority).toBe('-10')
    await mintmark.admin('PUT', '/models/anything', {})
    expect((await swap(secret)).claims.models).toEqual(['anything'])
    await mintmark.admin('PATCH', `/tenants/${tenantId}`, { name: 'no right changes' })
    expect((await swap(secret)).jwt).not.toBe(first.jwt)
  })

  it('is not issued for a key that was revoked meanwhile', async () => {
    const { secret, keyId } = await mintmark.tenantWithKey()
    await swap(secret)
    await mintmark.admin('POST', `/keys/${keyId}/revoke`)
    expect((await ask(mintmark, { headers: bearer(secret) })).status).toBe(401)
  })

  it('may be cached by nginx for at most five seconds, and never for longer than its lifetime', async () => {
    const { secret } = await mintmark.tenantWithKey()
    const answer = await ask(mintmark, { headers: bearer(secret) })
    expect(answer.headers).toMatchObject({ 'x-accel-expires': '5', 'cache-control': 'no-store' })
    // On a busy machine the key may end before the check.
    const { headers } = await until(
      'a key that ends soon is allowed',
      async () => {
        const expires_at = new Date(Date.now() + aheadMs + 4_500).toISOString()
        const ending = await mintmark.tenantWithKey({}, { expires_at })
        return ask(mintmark, { headers: bearer(ending.secret) })
      },
      ({ status }) => status === 200,
    )
    const seconds = Number(headers['x-accel-expires'])
    expect(seconds).toBeGreaterThanOrEqual(1)
    expect(seconds).toBeLessThan(4)
  })
})

it('a token is refused once it has expired, to the second', async () => {
  const { secret } = await mintmark.tenantWithKey({ token_ttl_seconds: 60 })
  const token = await tokenFor(mintmark, secret)
  const { exp } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
  const forwardTo = (ms: number) => {
    aheadMs += ms - (Date.now() + aheadMs)
  }
  forwardTo(exp * 1000 - 10_000)
  expect((await ask(mintmark, { headers: bearer(token) })).status).toBe(200)
  forwardTo(exp * 1000 + 1_000)
  expect(deniedAs(await ask(mintmark, { headers: bearer(token) }))).toBe('401 invalid_token')
})
