import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { SIGNING_ALGS } from '../../src/config/signing-alg.ts'
import { startTestService } from '../support/test-service.ts'

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

interface Readings {
  pyjwt: Record<string, unknown>
  authlib: Record<string, unknown>
  header: Record<string, unknown>
}

/** The token goes by stdin, not by argv. @throws {Error} with Python's message when a library rejects it. */
function verify(token: string, parameters: string[]): Promise<Readings> {
  const child = spawn(python, [new URL('verify.py', import.meta.url).pathname, ...parameters])
  let output = ''
  let errors = ''
  child.stdout.on('data', chunk => {
    output += chunk
  })
  child.stderr.on('data', chunk => {
    errors += chunk
  })
  child.stdin.end(token)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', status => (status === 0 ? resolve(JSON.parse(output)) : reject(new Error(errors))))
  })
}
