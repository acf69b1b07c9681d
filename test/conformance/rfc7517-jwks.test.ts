import { createPublicKey } from 'node:crypto'
import fc from 'fast-check'
import { calculateJwkThumbprint, exportSPKI, importJWK, type JWK } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { generateSigningKey, publicJwk } from '../../src/signing-keys/signing-key.ts'
import { exchange } from '../oauth/token-post.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'
import { externalVerifier } from '../tokens/external-verifier.ts'

const PUBLIC = { EC: ['crv', 'kty', 'x', 'y'], OKP: ['crv', 'kty', 'x'], RSA: ['e', 'kty', 'n'] } as const
const ALGS = [
  ['ES256', 'EC'],
  ['RS256', 'RSA'],
  ['PS256', 'RSA'],
  ['EdDSA', 'OKP'],
] as const

describe.each(ALGS)('RFC 7517: the JWK Set of an installation that signs with %s', (alg, kty) => {
  let mintmark: TestService
  let keys: (JWK & { kid: string })[]
  beforeAll(async () => {
    mintmark = await startTestService({ env: { MINTMARK_SIGNING_ALG: alg } })
    keys = (await get('/.well-known/jwks.json')).body.keys
  })
  afterAll(() => mintmark.stop())
  const get = (path: string) => request(mintmark.service.urls.public + path)

  it('§5: has the active key and the standby', () => {
    expect(keys).toHaveLength(2)
    expect(new Set(keys.map(key => key.kid)).size).toBe(2)
  })

  it('§4: has each key’s type, use, algorithm and id', () => {
    for (const key of keys) expect(key).toMatchObject({ kty, alg, use: 'sig', kid: expect.any(String) })
  })

  it('§9.2: has public members only', () => {
    for (const key of keys)
      expect(Object.keys(key).sort()).toEqual([...PUBLIC[kty], 'alg', 'kid', 'use'].sort())
  })

  it('RFC 7638 §3: names each key by its SHA-256 thumbprint', async () => {
    for (const key of keys) expect(key.kid).toBe(await calculateJwkThumbprint(key, 'sha256'))
  })

  it('§2: encodes without padding, and RSA keys have 2048 bits', () => {
    for (const key of keys) {
      for (const member of [key.x, key.y, key.n, key.e]) expect(member ?? 'absent').toMatch(/^[\w-]+$/)
      if (kty === 'RSA')
        expect(createPublicKey({ key, format: 'jwk' }).asymmetricKeyDetails?.modulusLength).toBe(2048)
    }
  })

  it('verifies the tokens, under the kid that their header names', async () => {
    const { secret } = await mintmark.tenantWithKey()
    const { body } = await exchange(mintmark, secret)
    const { protectedHeader } = await externalVerifier(mintmark)(body.access_token)
    expect(protectedHeader).toMatchObject({ alg, kid: expect.toBeOneOf(keys.map(key => key.kid)) })
  })

  it('has each key as SubjectPublicKeyInfo in PEM too', async () => {
    for (const key of keys) {
      const { status, headers, text } = await get(`/.well-known/jwks/${key.kid}.pem`)
      expect(status).toBe(200)
      expect(headers.get('content-type')).toMatch(/^application\/x-pem-file\b/)
      const { alg: _alg, kid: _kid, use: _use, ...members } = key
      expect(createPublicKey(text).export({ format: 'jwk' })).toEqual(members)
    }
  })

  it('has a strong entity tag, and is 304 for a client that has it (RFC 9110 §13.1.2)', async () => {
    const first = await request(`${mintmark.service.urls.public}/.well-known/jwks.json`)
    const etag = first.headers.get('etag') ?? ''
    expect(etag).toMatch(/^"[\w-]{43}"$/)
    // fetch would send no-cache, and so receive the whole response.
    const again = await request(`${mintmark.service.urls.public}/.well-known/jwks.json`, {
      headers: { 'if-none-match': etag, 'cache-control': 'max-age=0' },
    })
    expect(again).toMatchObject({ status: 304, text: '' })
  })

  it('says when the set was last changed, by the clock of the database (RFC 9110 §8.8.2)', async () => {
    const { headers } = await get('/.well-known/jwks.json')
    const [row] = await mintmark.database.asOwner<{ at: Date }>(
      'SELECT max(published_at) AS at FROM signing_keys',
    )
    expect(headers.get('last-modified')).toBe(row?.at.toUTCString())
  })

  it('may be cached as long as no key can become active unseen, and read from any origin', async () => {
    const { headers } = await get('/.well-known/jwks.json')
    expect(headers.get('cache-control')).toBe('public, max-age=300')
    expect(headers.get('access-control-allow-origin')).toBe('*')
    expect(headers.get('content-type')).toMatch(/^application\/json\b/)
  })

  it('names this algorithm in the metadata', async () => {
    const { body } = await get('/.well-known/openid-configuration')
    expect(body.id_token_signing_alg_values_supported).toEqual([alg])
  })
})

describe('RFC 7517 §9.2: no private member can be published', () => {
  const PRIVATE = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv']
  const member = fc.oneof(
    fc.constantFrom(...PRIVATE, 'kty', 'crv', 'x', 'y', 'n', 'e', 'key_ops', 'ext'),
    fc.string(),
  )

  it('of any JWK, whatever its members are called', () => {
    fc.assert(
      fc.property(
        fc.dictionary(member, fc.oneof(fc.string(), fc.jsonValue())),
        fc.constantFrom(...ALGS),
        (jwk, [alg]) => {
          const allowed = ['kty', 'crv', 'x', 'y', 'n', 'e', 'kid', 'alg', 'use']
          expect(
            Object.keys(publicJwk(jwk as JWK, alg, 'kid')).filter(name => !allowed.includes(name)),
          ).toEqual([])
        },
      ),
    )
  })

  it.each(ALGS)('of a key pair for %s, of which the rest is published', async (alg, kty) => {
    const { publicJwk: published, privateJwk, kid } = await generateSigningKey(alg)
    const secrets = Object.entries(privateJwk)
      .filter(([name]) => PRIVATE.includes(name))
      .map(([, value]) => value as string)
    expect(secrets.length).toBeGreaterThan(0)
    for (const value of secrets) expect(JSON.stringify(published)).not.toContain(value)
    expect(Object.keys(published).sort()).toEqual([...PUBLIC[kty], 'alg', 'kid', 'use'].sort())
    expect(published.kid).toBe(kid)
    expect(await exportSPKI(await imported(published, alg))).toBe(
      createPublicKey({ key: privateJwk, format: 'jwk' })
        .export({ type: 'spki', format: 'pem' })
        .toString()
        .trim(),
    )
  })

  const imported = async (jwk: JWK, alg: string) => {
    const key = await importJWK(jwk, alg, { extractable: true })
    if (key instanceof Uint8Array) throw new Error('a secret key')
    return key
  }
})

describe('The documents of the public listener are read-only', () => {
  let mintmark: TestService
  beforeAll(async () => {
    mintmark = await startTestService()
  })
  afterAll(() => mintmark.stop())

  it.each([
    '/.well-known/jwks.json',
    '/.well-known/jwks/any.pem',
    '/.well-known/openid-configuration',
    '/.well-known/oauth-authorization-server',
  ])('%s: other methods are 405 with Allow', async path => {
    for (const method of ['POST', 'PUT', 'DELETE']) {
      const { status, headers } = await request(mintmark.service.urls.public + path, { method })
      expect({ status, allow: headers.get('allow') }).toEqual({ status: 405, allow: 'GET, HEAD' })
    }
  })

  it.each([
    ['a kid that is not published', '/.well-known/jwks/nobody.pem', 404],
    ['a kid with a path in it', '/.well-known/jwks/..%2F..%2Fetc%2Fpasswd.pem', 404],
    ['a kid that is not UTF-8', '/.well-known/jwks/%C3%28.pem', 400],
    ['the admin API', '/admin/v1/tenants', 404],
    ['readiness', '/readyz', 404],
  ])('%s does not exist', async (_, path, status) => {
    expect(await request(mintmark.service.urls.public + path)).toMatchObject({
      status,
      body: { error: 'invalid_request' },
    })
  })
})
