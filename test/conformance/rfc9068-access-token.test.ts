import { decodeProtectedHeader, type JWTPayload } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { exchange } from '../oauth/token-post.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { externalVerifier } from '../tokens/external-verifier.ts'

let mintmark: TestService
let keyId: string
let secret: string
let jwt: string
let claims: JWTPayload
beforeAll(async () => {
  mintmark = await startTestService()
  ;({ keyId, secret } = await mintmark.tenantWithKey())
  jwt = (await exchange(mintmark, secret)).body.access_token
  claims = (await externalVerifier(mintmark)(jwt)).payload
})
afterAll(() => mintmark.stop())

it('§2.1: the header is typed at+jwt, signed asymmetrically, and names the key', () => {
  expect(decodeProtectedHeader(jwt)).toEqual({ alg: 'ES256', typ: 'at+jwt', kid: expect.any(String) })
})

it('RFC 7515 §3.1: the token is three parts of base64url', () => {
  expect(jwt).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/)
})

describe('§2.2: has every required claim', () => {
  it.each(['iss', 'exp', 'aud', 'sub', 'client_id', 'iat', 'jti'])('%s', name => {
    expect(claims[name]).toBeDefined()
  })
})

it('§2.2: without a resource owner, sub is the client', () => {
  expect(claims).toMatchObject({ sub: keyId, client_id: keyId })
})

it('§2.2.3: scope has what was granted, also when it was not requested', () => {
  expect(claims.scope).toBe('inference')
})

it('§3: without a resource, aud is the default of the client', () => {
  expect(claims.aud).toBe('vllm')
})

it('RFC 7519 §4.1: iat is not in the future, and there is no nbf', () => {
  expect(claims.iat).toBeLessThanOrEqual(Math.ceil(Date.now() / 1000))
  expect(claims).not.toHaveProperty('nbf')
})

describe('§4: a resource server rejects', () => {
  const altered = (part: 0 | 1, change: (text: string) => string) =>
    jwt
      .split('.')
      .map((text, index) =>
        index === part
          ? Buffer.from(change(Buffer.from(text, 'base64url').toString())).toString('base64url')
          : text,
      )
      .join('.')
  it.each<[string, () => string]>([
    ['a claim that was changed', () => altered(1, text => text.replace('"0"', '"-10"'))],
    ['a type that was changed', () => altered(0, text => text.replace('at+jwt', 'jwt'))],
    ['no signature', () => jwt.replace(/[^.]+$/, '')],
    ['alg none', () => altered(0, text => text.replace('ES256', 'none')).replace(/[^.]+$/, '')],
  ])('%s', async (_, forged) => {
    expect(forged()).not.toBe(jwt)
    await expect(externalVerifier(mintmark)(forged())).rejects.toThrow()
  })

  it('a token for another audience', async () => {
    await expect(externalVerifier(mintmark, 'elsewhere')(jwt)).rejects.toThrow(/aud/)
  })
})
