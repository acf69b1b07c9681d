import { createPrivateKey, type KeyObject, type webcrypto } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose'
import type { SigningAlg } from '../config/signing-alg.ts'
import { versionOf } from '../database/version.ts'

/**
 * signing-keys/ creates, stores, rotates and publishes the keys that tokens are signed with. Keys are stored in
 * Postgres with encrypted private keys; each process works from a `KeyRing` in memory.
 *
 *   standby (published, not used) → active → retiring (published, not used) → removed
 *
 * rotation.ts plans the steps, transitions.ts applies them, signing-keys.ts does both under the lock.
 */
type SigningKeyState = 'standby' | 'active' | 'retiring' | 'removed'

/** A stored key without its private key. Instants are epoch milliseconds. */
export interface SigningKey {
  /** RFC 7638 SHA-256 thumbprint of the public key. */
  kid: string
  alg: SigningAlg
  state: SigningKeyState
  publicJwk: PublicJwk
  publishedAt: number
  /** When it is, or was, first used to sign. Null on a standby that is not scheduled. */
  activatesAt: number | null
  /** When a retiring key leaves the JWKS. */
  retiresAt: number | null
  /** When the private key of a retiring key is deleted; null when it has been, and on every other key. */
  forgetsAt: number | null
  /** Not rotated and not removed automatically. */
  held: boolean
}

export function signingKeyVersion(key: SigningKey): string {
  const { kid, alg, state, publishedAt, activatesAt, retiresAt, held } = key
  return versionOf({ kid, alg, state, publishedAt, activatesAt, retiresAt, held })
}

/** A JWK with only the members that RFC 7517 and RFC 7518 define as public. */
export type PublicJwk = Record<string, string>

const PUBLIC_MEMBERS = ['kty', 'crv', 'x', 'y', 'n', 'e'] as const

/** Copies the public members by name, so that no private member is included, whatever its name. */
export function publicJwk(jwk: JWK, alg: SigningAlg, kid: string): PublicJwk {
  const members: PublicJwk = {}
  for (const name of PUBLIC_MEMBERS) {
    const value = jwk[name]
    if (typeof value === 'string') members[name] = value
  }
  return { ...members, kid, alg, use: 'sig' }
}

export interface GeneratedKey {
  kid: string
  alg: SigningAlg
  publicJwk: PublicJwk
  /** The whole key pair: encrypt it, then drop it. */
  privateJwk: JWK
}

export async function generateSigningKey(alg: SigningAlg): Promise<GeneratedKey> {
  const { privateKey } = await generateKeyPair(alg, { extractable: true, modulusLength: 2048 })
  const privateJwk = await exportJWK(privateKey)
  const kid = await calculateJwkThumbprint(privateJwk, 'sha256')
  return { kid, alg, publicJwk: publicJwk(privateJwk, alg, kid), privateJwk }
}

/** For node:crypto, without the deprecated conversion from a Web Crypto key. */
export const importPrivateKey = (jwk: JWK): KeyObject =>
  createPrivateKey({ key: jwk as webcrypto.JsonWebKey, format: 'jwk' })
