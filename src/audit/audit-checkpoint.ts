import { createPrivateKey, createPublicKey, hkdfSync, type KeyObject } from 'node:crypto'
import { CompactSign, calculateJwkThumbprint, compactVerify, EmbeddedJWK, exportJWK, type JWK } from 'jose'
import type { NamedKey } from '../system/secret.ts'
import type { ChainHead } from './audit-chain.ts'

/**
 * A signed statement of the head of a trail. It protects once it is stored where the database's owner has no access.
 */
export interface Checkpoint extends ChainHead {
  issuer: string
  /** The installation's id. */
  installation: string
  /** RFC 3339. */
  at: string
}

/**
 * A signed statement that the database was restored, and which signed heads it lost by that. They contradict the trail
 * from then on, and this explains it. The database cannot make one: it does not hold the key.
 */
export interface Continuation {
  issuer: string
  installation: string
  /** RFC 3339. */
  at: string
  reason: string
  /** The last row that a checkpoint confirms; position 0: none. */
  from: ChainHead
  lost: readonly ChainHead[]
}

/** RFC 7515 §4.1.9. Not an access token: no verifier that checks `typ` or `aud` accepts it as one. */
const TYPE = 'mintmark-audit-checkpoint+json'
const CONTINUATION_TYPE = 'mintmark-audit-continuation+json'
const ALG = 'EdDSA'
/** RFC 8410 §7: the prefix of the 32 bytes of an Ed25519 private key in PKCS #8. */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')

/** Signs checkpoints with a key derived from an encryption key (RFC 5869), independently of the database. */
export class CheckpointSigner {
  readonly #privateKey: KeyObject

  constructor(encryptionKey: NamedKey) {
    const seed = hkdfSync('sha256', encryptionKey.key.reveal(), '', 'mintmark audit checkpoint', 32)
    const key = Buffer.concat([PKCS8_PREFIX, Buffer.from(seed)])
    this.#privateKey = createPrivateKey({ key, format: 'der', type: 'pkcs8' })
  }

  /** A compact JWS that contains its own public key. */
  sign(checkpoint: Checkpoint): Promise<string> {
    return this.#sign(TYPE, checkpoint)
  }

  /** As `sign`. */
  signContinuation(continuation: Continuation): Promise<string> {
    return this.#sign(CONTINUATION_TYPE, continuation)
  }

  async #sign(typ: string, statement: object): Promise<string> {
    const jwk = await this.#publicJwk()
    return new CompactSign(new TextEncoder().encode(JSON.stringify(statement)))
      .setProtectedHeader({ alg: ALG, typ, kid: await calculateJwkThumbprint(jwk), jwk })
      .sign(this.#privateKey)
  }

  /** RFC 7638 SHA-256: to compare with the `kid` of a checkpoint. */
  async thumbprint(): Promise<string> {
    return calculateJwkThumbprint(await this.#publicJwk())
  }

  async #publicJwk(): Promise<JWK> {
    const { kty, crv, x } = await exportJWK(createPublicKey(this.#privateKey))
    return { kty, crv, x } as JWK
  }
}

/** What a line of a file of checkpoints states. */
export type Statement =
  | { kind: 'checkpoint'; content: Checkpoint }
  | { kind: 'continuation'; content: Continuation }

/** A signed statement, and the RFC 7638 thumbprint of its key. @throws {Error} with the reason. */
export async function openStatement(jws: string): Promise<Statement & { thumbprint: string }> {
  const { payload, protectedHeader } = await compactVerify(jws, EmbeddedJWK, { algorithms: [ALG] })
  const { typ, jwk } = protectedHeader
  if ((typ !== TYPE && typ !== CONTINUATION_TYPE) || jwk === undefined)
    throw new Error('it is signed, but is not a checkpoint')
  const thumbprint = await calculateJwkThumbprint(jwk)
  const content = JSON.parse(new TextDecoder().decode(payload))
  return { kind: typ === TYPE ? 'checkpoint' : 'continuation', content, thumbprint }
}

/** The content of a checkpoint, and the RFC 7638 thumbprint of its key. @throws {Error} with the reason. */
export async function openCheckpoint(jws: string): Promise<Checkpoint & { thumbprint: string }> {
  const { kind, content, thumbprint } = await openStatement(jws)
  if (kind !== 'checkpoint') throw new Error('it is signed, but is not a checkpoint')
  return { ...content, thumbprint }
}

/** The heads that a restore of the database did not lose. */
export function withoutLost<Head extends ChainHead>(
  heads: readonly Head[],
  continuations: readonly Pick<Continuation, 'lost'>[],
): Head[] {
  const nameOf = ({ id, hash }: ChainHead) => `${id} ${hash}`
  const lost = new Set(continuations.flatMap(continuation => continuation.lost.map(nameOf)))
  return heads.filter(head => !lost.has(nameOf(head)))
}
