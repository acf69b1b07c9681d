import { createPrivateKey, createPublicKey, hkdfSync, type KeyObject } from 'node:crypto'
import { CompactSign, calculateJwkThumbprint, compactVerify, EmbeddedJWK, exportJWK, type JWK } from 'jose'
import type { NamedKey } from '../system/secret.ts'
import type { ChainHead } from './audit-chain.ts'

/** A statement of what the head of a trail was, which holds once it lies where the database's owner cannot reach it. */
export interface Checkpoint extends ChainHead {
  issuer: string
  /** Of the installation record. */
  installation: string
  /** RFC 3339. */
  at: string
}

/** RFC 7515 §4.1.9. No access token, and no verifier of those that checks `typ` or `aud` takes it for one. */
const TYPE = 'mintmark-audit-checkpoint+json'
const ALG = 'EdDSA'
/** RFC 8410 §7: what comes before the 32 bytes of an Ed25519 private key in PKCS #8. */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')

/** Signs checkpoints with a key that comes from an encryption key, so the database has no part in it. RFC 5869. */
export class CheckpointSigner {
  readonly #privateKey: KeyObject

  constructor(encryptionKey: NamedKey) {
    const seed = hkdfSync('sha256', encryptionKey.key.reveal(), '', 'mintmark audit checkpoint', 32)
    const key = Buffer.concat([PKCS8_PREFIX, Buffer.from(seed)])
    this.#privateKey = createPrivateKey({ key, format: 'der', type: 'pkcs8' })
  }

  /** A compact JWS that carries its own public key. */
  async sign(checkpoint: Checkpoint): Promise<string> {
    const jwk = await this.#publicJwk()
    return new CompactSign(new TextEncoder().encode(JSON.stringify(checkpoint)))
      .setProtectedHeader({ alg: ALG, typ: TYPE, kid: await calculateJwkThumbprint(jwk), jwk })
      .sign(this.#privateKey)
  }

  /** RFC 7638 SHA-256: what to compare the `kid` of a checkpoint with. */
  async thumbprint(): Promise<string> {
    return calculateJwkThumbprint(await this.#publicJwk())
  }

  async #publicJwk(): Promise<JWK> {
    const { kty, crv, x } = await exportJWK(createPublicKey(this.#privateKey))
    return { kty, crv, x } as JWK
  }
}

/** What was signed, and the RFC 7638 thumbprint of the key that it was signed with. @throws {Error} that says what is wrong. */
export async function openCheckpoint(jws: string): Promise<Checkpoint & { thumbprint: string }> {
  const { payload, protectedHeader } = await compactVerify(jws, EmbeddedJWK, { algorithms: [ALG] })
  const { typ, jwk } = protectedHeader
  if (typ !== TYPE || jwk === undefined) throw new Error('it is signed, but is not a checkpoint')
  const checkpoint = JSON.parse(new TextDecoder().decode(payload)) as Checkpoint
  return { ...checkpoint, thumbprint: await calculateJwkThumbprint(jwk) }
}
