import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { SIGNING_ALGS } from '../../src/config/signing-alg.ts'
import { ask, bearer } from '../gateway/check-client.ts'
import { newPair } from '../identity-providers/assertions.ts'
import { startTestService } from '../support/test-service.ts'
import { externalVerifier } from '../tokens/external-verifier.ts'
import { jsonOf } from './json-program.ts'

/** A Python with PyJWT and Authlib, installed by scripts/install-test-tools.sh. */
const python = process.env.MINTMARK_PYTHON ?? join(homedir(), '.cache/mintmark/python/bin/python')
const missing = !existsSync(python)

describe.skipIf(missing && process.env.MINTMARK_REQUIRE_GATEWAYS !== '1')('PyJWT and Authlib', () => {
  it.each(SIGNING_ALGS)('verify a token signed with %s from the published JWKS', async alg => {
    const mintmark = await startTestService({ env: { MINTMARK_SIGNING_ALG: alg } })
    try {
      const { secret, keyId, tenantId } = await mintmark.tenantWithKey({ tier: 'batch' })
      const { body } = await mintmark.token({ grant_type: 'client_credentials', client_secret: secret })
      const { issuer, urls } = mintmark.service
      const read = await verify(body.access_token, [`${urls.public}/.well-known/jwks.json`, issuer, 'vllm'])
      expect(read.header).toMatchObject({ alg, typ: 'at+jwt' })
      expect(read.pyjwt).toMatchObject({
        iss: issuer,
        sub: keyId,
        tenant: tenantId,
        priority: '10',
        aud: 'vllm',
      })
      expect(read.authlib).toEqual(read.pyjwt)
    } finally {
      await mintmark.stop()
    }
  })

  it('reject a token with a changed payload', async () => {
    const mintmark = await startTestService()
    try {
      const { secret } = await mintmark.tenantWithKey()
      const { body } = await mintmark.token({ grant_type: 'client_credentials', client_secret: secret })
      const [header, payload, signature] = body.access_token.split('.')
      const claims = { ...JSON.parse(Buffer.from(payload, 'base64url').toString()), priority: '-999' }
      const forged = [header, Buffer.from(JSON.stringify(claims)).toString('base64url'), signature].join('.')
      const { issuer, urls } = mintmark.service
      await expect(verify(forged, [`${urls.public}/.well-known/jwks.json`, issuer, 'vllm'])).rejects.toThrow(
        /InvalidSignature/,
      )
    } finally {
      await mintmark.stop()
    }
  })
})

describe.skipIf(missing && process.env.MINTMARK_REQUIRE_GATEWAYS !== '1')('Authlib', () => {
  it('gets tokens by private_key_jwt and by jwt-bearer, and revokes one', async () => {
    const mintmark = await startTestService({ env: { MINTMARK_ISSUER: '', MINTMARK_HOST: 'localhost' } })
    try {
      const { issuer } = mintmark.service
      const pair = newPair('own')
      await mintmark.admin('POST', '/tenants', { id: 'acme' })
      const keyWith = async (credential: object) =>
        (await mintmark.admin('POST', '/tenants/acme/workload-keys', { credential })).body.key
      const jwks = { keys: [pair.jwk] }
      const clientId = await keyWith({ type: 'public_key', jwks })
      const robots = 'https://robots.example.com'
      const settings = { kind: 'oidc', issuer: robots, audiences: ['mintmark'], algorithms: ['ES256'], jwks }
      const { id } = (await mintmark.admin('POST', '/identity-providers', settings)).body
      const robotId = await keyWith({ type: 'federated', provider: id, subject: 'robot' })
      const pem = pair.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
      const found = await run<Record<string, string>>('assertions.py', pem, [
        issuer,
        clientId,
        robots,
        'mintmark',
      ])
      const { payload } = await externalVerifier(mintmark)(found.client_assertion ?? '')
      expect(payload).toMatchObject({ sub: clientId, tenant: 'acme' })
      expect((await externalVerifier(mintmark)(found.assertion ?? '')).payload).toMatchObject({
        sub: robotId,
      })
      const checked = async (token = '') => (await ask(mintmark, { headers: bearer(token) })).status
      expect(found.revocation).toBe(200)
      expect([await checked(found.client_assertion), await checked(found.revoked)]).toEqual([200, 401])
    } finally {
      await mintmark.stop()
    }
  })
})

describe.skipIf(missing && process.env.MINTMARK_REQUIRE_GATEWAYS !== '1')('RFC 7662, by Authlib', () => {
  it('reads a live token, and nothing of one that is revoked, of another audience, or none', async () => {
    const mintmark = await startTestService({ env: { MINTMARK_ISSUER: '', MINTMARK_HOST: 'localhost' } })
    try {
      const { issuer } = mintmark.service
      const other = 'https://other.example.test'
      const key = await mintmark.tenantWithKey({ audiences: ['vllm', other] })
      const tokenFor = async (more: object = {}) =>
        (await mintmark.token({ grant_type: 'client_credentials', client_secret: key.secret, ...more })).body
          .access_token as string
      const [live, revoked, foreign] = [
        await tokenFor(),
        await tokenFor(),
        await tokenFor({ audience: other }),
      ]
      await fetch(`${issuer}/oauth/revoke`, {
        method: 'POST',
        body: new URLSearchParams({ token: revoked, client_secret: key.secret }),
      })
      const settings = { role: 'introspector', audiences: ['vllm'] }
      const { id, secret } = (await mintmark.admin('POST', '/admin-tokens', settings)).body
      const sent = [secret, live, revoked, foreign, `${live}x`].join('\n')
      const found = await run<Record<string, object[]>>('introspection.py', sent, [issuer, id])
      for (const method of ['client_secret_basic', 'client_secret_post']) {
        const [first, ...others] = found[method] ?? []
        expect(first).toMatchObject({ active: true, sub: key.keyId, tenant: key.tenantId })
        expect(others).toEqual([{ active: false }, { active: false }, { active: false }])
      }
    } finally {
      await mintmark.stop()
    }
  })
})

interface Readings {
  pyjwt: Record<string, unknown>
  authlib: Record<string, unknown>
  header: Record<string, unknown>
}

const verify = (token: string, parameters: string[]): Promise<Readings> => run('verify.py', token, parameters)

const run = <T>(script: string, secret: string, parameters: string[]): Promise<T> =>
  jsonOf(python, [fileURLToPath(new URL(script, import.meta.url)), ...parameters], secret)
