import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Answer } from '../gateway-configs/client.ts'
import { startTestMint, type TestMint } from '../gateway-configs/test-mint.ts'
import { startTwoReplicas, type TwoReplicas } from '../support/replicas.ts'
import type { TcpProxy } from '../support/tcp-proxy.ts'
import type { TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { admitted, ask, bearer, deniedAs, tokenFor } from './check-client.ts'

let replicas: TwoReplicas
let mintmark: TestService
/** Another replica, with a database connection that can fail. */
let other: TestService
let proxy: TcpProxy
let mint: TestMint

beforeAll(async () => {
  replicas = await startTwoReplicas()
  ;({ mintmark, other, proxy } = replicas)
  mint = await startTestMint()
})
afterAll(async () => {
  await replicas.stop()
  await mint.stop()
})

const BILLING = 'https://billing.example.test'
const TENANT = { audiences: ['vllm', BILLING], scopes: ['inference', 'more'] }
const made = (key = {}) => mintmark.tenantWithKey(TENANT, { scopes: TENANT.scopes, ...key })
/** The other replica has applied what this one did. */
const followed = () => until('followed', () => positionOf(other) === positionOf(mintmark))
const positionOf = ({ service }: TestService) => service.changes.position
const isAllowed = ({ status }: Answer) => status === 200
const isRefused = ({ status }: Answer) => status === 401
const show = (jwt: string, replica = mintmark) => ask(replica, { headers: bearer(jwt) })

describe('a token of this issuer', () => {
  it('passes unchanged, with the headers of its claims', async () => {
    const { secret } = await made()
    const token = await tokenFor(mintmark, secret)
    expect(admitted(await show(token)).jwt).toBe(token)
  })

  it('passes for several audiences, when the audience of the check is one of them', async () => {
    const { secret } = await made()
    const token = await tokenFor(mintmark, secret, { audience: 'vllm', resource: BILLING })
    expect(admitted(await show(token)).claims.aud).toEqual(['vllm', BILLING])
  })

  it('is rejected for another audience', async () => {
    const { secret } = await made()
    expect(deniedAs(await show(await tokenFor(mintmark, secret, { resource: BILLING })))).toBe(
      '401 invalid_token',
    )
  })

  it('is rejected without the scope', async () => {
    const { secret } = await made()
    const token = await tokenFor(mintmark, secret, { scope: 'more' })
    expect(deniedAs(await show(token))).toBe('403 scope_not_granted')
  })
})

describe('any other token is rejected', () => {
  const issued = async () => tokenFor(mintmark, (await made()).secret)
  const parts = async () => (await issued()).split('.') as [string, string, string]
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')

  it.each([
    [
      'of another issuer with our name, signed with its own key',
      () => mint.sign({ iss: mintmark.service.issuer }),
    ],
    [
      'signed with another key under one of our kids',
      async () => mint.sign({}, { kid: await publishedKid() }),
    ],
    ['with alg none', () => mint.unsigned()],
    ['HS256 with a public key in PEM', () => mint.hmacWith('pem')],
    ['HS256 with a public key as JWK', () => mint.hmacWith('jwk')],
    ['with its payload changed', async () => tampered(await parts())],
    ['with its signature cut off', async () => (await parts()).slice(0, 2).concat('').join('.')],
    ['with a trailing dot', async () => `${await issued()}.`],
    ['in five parts, as JWE has', () => 'eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkExMjhDQkMifQ.a.b.c.d'],
    ['with another typ', async () => retyped(await parts())],
    ['of 5,000 characters', async () => `${await issued()}${'A'.repeat(5_000)}`],
    ['of dots', () => '...'],
    ['of nothing that is base64', () => '!.!.!'],
  ] as [string, () => string | Promise<string>][])('%s', async (_, token) => {
    expect(deniedAs(await show(await token()))).toBe('401 invalid_token')
  })

  function tampered([header, payload, signature]: [string, string, string]): string {
    const claims = { ...JSON.parse(Buffer.from(payload, 'base64url').toString()), tenant: 'globex' }
    return [header, encode(claims), signature].join('.')
  }
  function retyped([header, payload, signature]: [string, string, string]): string {
    const typed = { ...JSON.parse(Buffer.from(header, 'base64url').toString()), typ: 'JWT' }
    return [encode(typed), payload, signature].join('.')
  }
  async function publishedKid(): Promise<string> {
    const set = await (await fetch(`${mintmark.service.urls.public}/.well-known/jwks.json`)).json()
    return (set as { keys: { kid: string }[] }).keys[0]?.kid ?? ''
  }
})

describe('a token whose key was revoked', () => {
  it('is refused at once where it was revoked, and then on every other replica', async () => {
    const { secret, keyId } = await made()
    const token = await tokenFor(mintmark, secret)
    expect((await show(token, other)).status).toBe(200)
    await mintmark.admin('POST', `/keys/${keyId}/revoke`)
    expect(deniedAs(await show(token))).toBe('401 invalid_token')
    await until('the other replica refuses it', () => show(token, other), isRefused)
  })

  it('is rejected when its tenant was deleted', async () => {
    const { secret, tenantId } = await made()
    const token = await tokenFor(mintmark, secret)
    await mintmark.admin('DELETE', `/tenants/${tenantId}?cascade=true`)
    expect(deniedAs(await show(token))).toBe('401 invalid_token')
  })
})

describe('while Postgres is down', () => {
  beforeEach(async () => {
    await proxy.become('none')
    const { secret } = await made()
    await until('keys are looked up again', () => ask(other, { headers: bearer(secret) }), isAllowed)
  })

  it('tokens of known keys and known keys pass, and an unknown key is 503', async () => {
    const known = await made()
    const token = await tokenFor(mintmark, known.secret)
    await followed()
    await proxy.become('refuse')
    expect((await show(token, other)).status).toBe(200)
    expect((await ask(other, { headers: bearer(known.secret) })).status).toBe(200)
    const fresh = await made()
    expect(deniedAs(await ask(other, { headers: bearer(fresh.secret) }))).toBe('503 unavailable')
  })

  it('a token of a key that this replica never knew passes, as it would at a gateway', async () => {
    await proxy.become('refuse')
    const { secret } = await made()
    const token = await tokenFor(mintmark, secret)
    expect(admitted(await show(token, other)).jwt).toBe(token)
  })

  it.each(['hang', 'freeze'] as const)(
    'and they pass while the connection does this, without waiting for it: %s',
    async fault => {
      const { secret } = await made()
      const token = await tokenFor(mintmark, secret)
      await proxy.become(fault)
      const { secret: later } = await made()
      const unknown = await tokenFor(mintmark, later)
      expect((await show(token, other)).status).toBe(200)
      expect((await show(unknown, other)).status).toBe(200)
    },
  )

  it('a token of a key that this replica saw revoked is still rejected', async () => {
    const { secret, keyId } = await made()
    const token = await tokenFor(mintmark, secret)
    await followed()
    await mintmark.admin('POST', `/keys/${keyId}/revoke`)
    await followed()
    await proxy.become('refuse')
    expect(deniedAs(await show(token, other))).toBe('401 invalid_token')
  })
})
