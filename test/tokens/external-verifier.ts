import { createRemoteJWKSet, type JWTVerifyResult, jwtVerify } from 'jose'
import type { TestService } from '../support/test-service.ts'

/** A verifier that knows only the issuer, the audience and the JWKS address, like a gateway. */
export function externalVerifier(
  mintmark: TestService,
  audience = 'vllm',
): (jwt: string) => Promise<JWTVerifyResult> {
  const jwksUri = new URL(`${mintmark.service.urls.public}/.well-known/jwks.json`)
  const keys = createRemoteJWKSet(jwksUri, { cooldownDuration: 0 })
  return jwt => jwtVerify(jwt, keys, { issuer: mintmark.service.issuer, audience, typ: 'at+jwt' })
}
