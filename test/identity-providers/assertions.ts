import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'

/** Signs assertions as an identity provider does, with Node's own cryptography. */

export interface SigningPair {
  kid: string
  privateKey: KeyObject
  /** As in a JWK Set. */
  jwk: Record<string, unknown>
}

/** A P-256 key. */
export function newPair(kid: string): SigningPair {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { kid, privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), use: 'sig', kid } }
}

const encode = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

/** A compact JWS with these parts, signed with ES256. Texts are encoded as they are. */
export function jws(pair: SigningPair, header: unknown, claims: unknown): string {
  const input = `${encode(header)}.${encode(claims)}`
  const signature = sign('sha256', Buffer.from(input), { key: pair.privateKey, dsaEncoding: 'ieee-p1363' })
  return `${input}.${signature.toString('base64url')}`
}

/** The same with the text of the public key as an HMAC secret (RFC 8725 §2.1). */
export function hmacJws(pair: SigningPair, header: unknown, claims: unknown): string {
  const input = `${encode(header)}.${encode(claims)}`
  return `${input}.${createHmac('sha256', JSON.stringify(pair.jwk)).update(input).digest('base64url')}`
}
