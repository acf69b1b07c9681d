import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  calculateJwkThumbprint,
  exportJWK,
  exportSPKI,
  generateKeyPair,
  type JWTPayload,
  SignJWT,
} from 'jose'
import { AUDIENCE, ISSUER } from '../../deploy/generate/example.ts'

/** A token issuer of the tests, with tokens that can be wrong in one respect: the service signs no such token. */
export interface TestMint {
  url: string
  /** A token as the service would issue it, except for these claims (undefined: left out) and header fields. */
  sign(claims?: Record<string, unknown>, header?: Record<string, unknown>): Promise<string>
  /** Signed with a key that is not published; `kid` as if it were. */
  signWithOtherKey(): Promise<string>
  unsigned(): string
  /** HS256 with our public key as the secret. */
  hmacWith(form: 'pem' | 'jwk'): Promise<string>
  jwksRequests(): number
  stop(): Promise<void>
}

/** `port`: of its JWKS, default any free port. */
export async function startTestMint(port = 0): Promise<TestMint> {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const other = await generateKeyPair('ES256')
  const bare = await exportJWK(publicKey)
  // As the service names its keys: mintmark sync writes no others.
  const kid = await calculateJwkThumbprint(bare)
  const jwk = { ...bare, kid, alg: 'ES256', use: 'sig' }
  let requests = 0
  const server = createServer((_, res) => {
    requests += 1
    res.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: [jwk] }))
  })
  await once(server.listen(port, '127.0.0.1'), 'listening')
  const sign = (key: CryptoKey, claims = {}, header = {}) =>
    new SignJWT(claimsNow(claims))
      .setProtectedHeader({ alg: 'ES256', kid, typ: 'at+jwt', ...header })
      .sign(key)
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sign: (claims, header) => sign(privateKey, claims, header),
    signWithOtherKey: () => sign(other.privateKey),
    unsigned: () => `${encoded({ alg: 'none', typ: 'at+jwt' })}.${encoded(claimsNow())}.`,
    hmacWith: async form => {
      const secret = form === 'pem' ? await exportSPKI(publicKey) : JSON.stringify(jwk)
      const text = `${encoded({ alg: 'HS256', kid, typ: 'at+jwt' })}.${encoded(claimsNow())}`
      return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`
    },
    jwksRequests: () => requests,
    stop: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

/** The one claim that is an object: no gateway may stumble over it, or take its members for claims. */
const LIMITS_CLAIM = {
  tenant: {
    requests: { requests_per_unit: 600, unit: 'MINUTE' },
    tokens_daily: { requests_per_unit: 4_294_967_295, unit: 'DAY' },
  },
  key: { requests: { requests_per_unit: 60, unit: 'MINUTE' } },
}

export const now = (): number => Math.floor(Date.now() / 1000)

function claimsNow(changes: Record<string, unknown> = {}): JWTPayload {
  const claims = {
    ...{ iss: ISSUER, sub: 'key_7Hq2kd9XwP3mZt5B', client_id: 'key_7Hq2kd9XwP3mZt5B', aud: AUDIENCE },
    ...{ iat: now(), exp: now() + 300, jti: 'QmFzZTY0dXJsIG9mIDE2IA', scope: 'inference' },
    ...{
      tenant: 'acme',
      tier: 'premium',
      priority: '-10',
      models: ['llama-3-8b'],
      adapters: ['acme-sql'],
      adapter_list: 'acme-sql',
    },
    limits: LIMITS_CLAIM,
    ...changes,
  }
  return Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined))
}

const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
