import { generateKeyPairSync } from 'node:crypto'
import { createLocalJWKSet, exportJWK, generateKeyPair, jwtVerify } from 'jose'
import { describe, expect, it } from 'vitest'
import { SIGNING_ALGS } from '../../src/config/signing-alg.ts'
import { importPrivateKey } from '../../src/signing-keys/signing-key.ts'
import { CompactSigner } from '../../src/tokens/compact-jws.ts'

describe('RFC 7515 §7.1: JWS Compact Serialization, as jose reads it', () => {
  it.each(SIGNING_ALGS)('%s: verifies, and not with any character changed', async alg => {
    const pair = await generateKeyPair(alg, { extractable: true })
    const jwks = createLocalJWKSet({ keys: [{ ...(await exportJWK(pair.publicKey)), kid: 'k1', alg }] })
    const privateKey = importPrivateKey(await exportJWK(pair.privateKey))
    const signer = new CompactSigner(privateKey, { alg, kid: 'k1', typ: 'at+jwt' })
    const claims = { sub: 'key_1', models: ['llama-3-8b'], text: 'naïve “ü”\u{1F511}' }
    const jwts = await Promise.all([1, 2, 3].map(iat => signer.sign(JSON.stringify({ ...claims, iat }))))
    for (const [index, jwt] of jwts.entries()) {
      const { payload, protectedHeader } = await jwtVerify(jwt, jwks, { algorithms: [alg], typ: 'at+jwt' })
      expect(payload).toEqual({ ...claims, iat: index + 1 })
      expect(protectedHeader).toEqual({ alg, kid: 'k1', typ: 'at+jwt' })
    }
    const [jwt = ''] = jwts
    const middle = jwt.indexOf('.') + 5
    const forged = jwt.slice(0, middle) + (jwt[middle] === 'A' ? 'B' : 'A') + jwt.slice(middle + 1)
    await expect(jwtVerify(forged, jwks)).rejects.toThrow()
  })
})

it('rejects when the signature cannot be made on the other thread', async () => {
  // Too short for the hash and its salt (RFC 8017 §9.1.1).
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 512 })
  const signer = new CompactSigner(privateKey, { alg: 'PS256', kid: 'k1', typ: 'at+jwt' })
  await expect(signer.sign('{}')).rejects.toThrow(/digest too big|too large|key size/)
})
