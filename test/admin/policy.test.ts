import { decodeProtectedHeader } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { request, startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

let mintmark: TestService
beforeAll(async () => {
  mintmark = await startTestService({
    env: { MINTMARK_PUBLISH_LEAD_SECONDS: '1', MINTMARK_SHORT_PUBLISH_LEAD: 'allowed' },
  })
})
afterAll(() => mintmark.stop())

const patch = (policy: object) => mintmark.admin('PATCH', '/installation', { policy })
const shown = async () => (await mintmark.admin('GET', '/installation')).body
const listed = async () => (await mintmark.admin('GET', '/signing-keys')).body.data
const statesOf = async (alg: string) =>
  (await listed()).flatMap((key: { alg: string; state: string }) => (key.alg === alg ? [key.state] : []))

describe('GET /installation', () => {
  it('shows the policy, the number of keys it publishes, and the replicas', async () => {
    expect(await shown()).toMatchObject({
      policy: {
        signing_alg: 'ES256',
        signing_algs: ['ES256'],
        audience_signing_algs: {},
        rotation_interval_seconds: 2_592_000,
        publish_lead_seconds: 1,
        longest_token_ttl_seconds: 300,
        longest_staleness_seconds: 900,
      },
      published_keys: { retention_seconds: 300 + 900 + 60 + 1, per_algorithm: 3, total: 3, limit: 10 },
      peppers: { current: 'p1', left_on_others: {}, admin_tokens_left: [], usage_reporters_left: [] },
      encryption_keys: { current: 'e1', left_on_others: {} },
      replicas: [{ state: 'serving', staleness_seconds: 900 }],
    })
  })
})

describe('PATCH /installation', () => {
  it('changes the times, and the standby is rescheduled', async () => {
    const { status, body } = await patch({ rotation_interval_seconds: 7200 })
    expect([status, body.policy.rotation_interval_seconds]).toEqual([200, 7200])
    const keys = await listed()
    const at = (state: string) =>
      Date.parse(keys.find((key: { state: string }) => key.state === state).activates_at)
    expect(at('standby') - at('active')).toBe(7_200_000)
    expect((await patch({ rotation_interval_seconds: 2_592_000 })).status).toBe(200)
  })

  it('is audited field by field, and a change without effect is not', async () => {
    await patch({ unending_keys_allowed: true })
    await patch({ unending_keys_allowed: true })
    const rows = await mintmark.database.asOwner<{ actor: string; changes: object }>(
      "SELECT actor, changes FROM audit_events WHERE action = 'installation.update' AND changes ? 'unendingKeysAllowed'",
    )
    expect(rows).toEqual([{ actor: 'root', changes: { unendingKeysAllowed: { from: false, to: true } } }])
  })

  it.each<[string, object, string, RegExp]>([
    [
      'more keys than verifiers take',
      { rotation_interval_seconds: 3600, signing_algs: ['ES256', 'RS256', 'PS256', 'EdDSA'] },
      '/policy/rotation_interval_seconds',
      /\(300 \+ 900 \+ 60 \+ 1\) \/ 3600, so 3 keys of each of 4 algorithms would be published, 12 in all, and verifiers accept 10/,
    ],
    [
      'a lead longer than the interval',
      { rotation_interval_seconds: 3600, publish_lead_seconds: 3601 },
      '/policy/publish_lead_seconds',
      /at most the rotation interval \(3600\)/,
    ],
    [
      'an interval of a minute',
      { rotation_interval_seconds: 60 },
      '/policy/rotation_interval_seconds',
      /3600 to/,
    ],
    [
      'no default algorithm',
      { signing_algs: ['RS256'] },
      '/policy/signing_algs',
      /must contain the default algorithm, ES256/,
    ],
    [
      'an algorithm for an audience that is not published',
      { audience_signing_algs: { 'a/b': 'RS256' } },
      '/policy/audience_signing_algs/a~1b',
      /must be one of signing_algs, and RS256 is not/,
    ],
    ['an algorithm that is none', { signing_alg: 'HS256' }, '/policy/signing_alg', /must be one of/],
    [
      'a field that is not to be changed',
      { longest_token_ttl_seconds: 60 },
      '/policy/longest_token_ttl_seconds',
      /not a known/,
    ],
  ])('refuses %s, with the arithmetic', async (_, change, pointer, message) => {
    const { status, body } = await patch(change)
    expect([status, body.errors[0]?.pointer]).toEqual([400, pointer])
    expect(body.errors[0].message).toMatch(message)
  })

  it('publishes a second algorithm first, allows selecting it once its key is known, and removes it again', async () => {
    const early = await patch({ signing_alg: 'RS256' })
    expect([early.status, early.body.code]).toEqual([409, 'signing_alg_not_ready'])
    expect(early.body.detail).toMatch(/Add it to signing_algs first/)

    expect((await patch({ signing_algs: ['ES256', 'RS256'] })).status).toBe(200)
    expect(await statesOf('RS256')).toEqual(['standby'])
    expect((await patch({ audience_signing_algs: { legacy: 'RS256' } })).body.detail).toMatch(
      /Its key can sign from \d{4}-.*: select it then/,
    )
    await until(
      'it has its own pair',
      () => statesOf('RS256'),
      states => states.sort().join() === 'active,standby',
    )
    expect((await patch({ audience_signing_algs: { legacy: 'RS256' } })).status).toBe(200)

    const { secret } = await mintmark.tenantWithKey({ audiences: ['vllm', 'legacy'] })
    const token = (resource: object) =>
      mintmark.token({ grant_type: 'client_credentials', client_secret: secret, ...resource })
    const algOf = async (resource: object) =>
      decodeProtectedHeader((await token(resource)).body.access_token).alg
    expect([await algOf({}), await algOf({ audience: 'vllm' }), await algOf({ audience: 'legacy' })]).toEqual(
      ['ES256', 'ES256', 'RS256'],
    )
    const metadata = await request(`${mintmark.service.urls.public}/.well-known/openid-configuration`)
    expect(metadata.body.id_token_signing_alg_values_supported).toEqual(['ES256', 'RS256'])

    expect((await patch({ signing_algs: ['ES256'] })).status).toBe(400)
    const back = await patch({ signing_algs: ['ES256'], audience_signing_algs: { legacy: null } })
    expect(back.body.policy.audience_signing_algs).toEqual({})
    expect(await statesOf('RS256')).toEqual(['retiring', 'retiring'])
    expect(await algOf({ audience: 'legacy' })).toBe('ES256')
  })

  it('changes the default algorithm without a moment without a signing key', async () => {
    await patch({ signing_algs: ['ES256', 'EdDSA'] })
    const { secret } = await mintmark.tenantWithKey()
    const algs: unknown[] = []
    const exchange = async () => {
      const { status, body } = await mintmark.token({
        grant_type: 'client_credentials',
        client_secret: secret,
      })
      expect(status).toBe(200)
      algs.push(decodeProtectedHeader(body.access_token).alg)
    }
    await until('it may be chosen', async () => {
      await exchange()
      return (await patch({ signing_alg: 'EdDSA' })).status === 200
    })
    await exchange()
    expect([algs[0], algs.at(-1)]).toEqual(['ES256', 'EdDSA'])
    expect((await patch({ signing_alg: 'ES256', signing_algs: ['ES256'] })).status).toBe(200)
  })
})

describe('With a replica that does not allow short leads', () => {
  it('a lead under an hour is rejected', async () => {
    const strict = await startTestService()
    const { status, body } = await strict.admin('PATCH', '/installation', {
      policy: { publish_lead_seconds: 3599 },
    })
    await strict.stop()
    expect([status, body.errors[0].message]).toEqual([
      400,
      expect.stringMatching(/MINTMARK_SHORT_PUBLISH_LEAD=allowed/),
    ])
  })
})
