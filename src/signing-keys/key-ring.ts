import { createHash, type KeyObject } from 'node:crypto'
import { exportSPKI, importJWK } from 'jose'
import type { SigningAlg } from '../config/signing-alg.ts'
import { type Policy, publishedAlgs, signingAlgFor } from '../installation/policy.ts'
import type { PublicJwk, SigningKey } from './signing-key.ts'

/** A published key, with `privateKey` where this process has it and may sign. */
export interface RingKey extends SigningKey {
  privateKey: KeyObject | undefined
}

type Signer = RingKey & { privateKey: KeyObject; activatesAt: number }

/** The part of the policy that a ring needs, read in the same snapshot as the keys. */
type AlgPolicy = Pick<Policy, 'signingAlg' | 'otherSigningAlgs' | 'audienceSigningAlgs'>

/**
 * The keys that this process publishes and signs with, as one immutable value that is replaced as a whole. It signs
 * only with keys in its own JWKS. The JWKS is a function of the stored keys alone, so all replicas return the same
 * bytes (istiod pushes configuration to every sidecar when they differ).
 */
export class KeyRing {
  readonly keys: readonly RingKey[]
  readonly #policy: AlgPolicy
  /** The JSON text of the JWK Set, RFC 7517 §5: public members only, ordered by kid. */
  readonly jwks: string
  /** Strong entity tag of `jwks` (RFC 9110 §8.8.3). */
  readonly etag: string
  /** When the set was last changed, in the form of RFC 9110 §5.6.7: replicas that lag behind have an earlier one. */
  readonly lastModified: string | undefined
  readonly #pems: ReadonlyMap<string, string>

  private constructor(
    keys: readonly RingKey[],
    policy: AlgPolicy,
    pems: ReadonlyMap<string, string>,
    modifiedAt: number | undefined,
  ) {
    this.keys = keys
    this.#policy = policy
    this.jwks = JSON.stringify({ keys: keys.map(key => key.publicJwk) })
    this.etag = `"${createHash('sha256').update(this.jwks).digest('base64url')}"`
    this.lastModified = modifiedAt === undefined ? undefined : new Date(modifiedAt).toUTCString()
    this.#pems = pems
  }

  /** `modifiedAt`: when the set was last changed, as epoch milliseconds. */
  static async of(keys: readonly RingKey[], policy: AlgPolicy, modifiedAt?: number): Promise<KeyRing> {
    const sorted = [...keys].sort((a, b) => (a.kid < b.kid ? -1 : 1))
    const pems = await Promise.all(sorted.map(async key => [key.kid, await spki(key.publicJwk)] as const))
    return new KeyRing(sorted, policy, new Map(pems), modifiedAt)
  }

  /** The algorithms with keys, the default first. */
  get algs(): readonly SigningAlg[] {
    return publishedAlgs(this.#policy)
  }

  /**
   * The key to sign a token of these audiences with at `now`. While a selected algorithm has no key yet, the key that
   * was used last signs. `'ambiguous'` when two audiences require different algorithms.
   */
  signerFor(audiences: readonly string[], now: number): Signer | 'ambiguous' | undefined {
    const alg = signingAlgFor(this.#policy, audiences)
    return alg === undefined ? 'ambiguous' : (this.signer(alg, now) ?? latest(this.#started(now)))
  }

  /**
   * The most recently activated key of this algorithm. Computed from the time, not from the stored state, so that a
   * replica without the database rotates on schedule.
   */
  signer(alg: string, now: number): Signer | undefined {
    return latest(this.#started(now).filter(key => key.alg === alg))
  }

  #started(now: number): Signer[] {
    return this.keys.filter(
      (key): key is Signer =>
        key.privateKey !== undefined && key.activatesAt !== null && key.activatesAt <= now,
    )
  }

  /** SubjectPublicKeyInfo in PEM, for verifiers without JWKS support (HAProxy, njs, Kong). */
  pem(kid: string): string | undefined {
    return this.#pems.get(kid)
  }
}

function latest(keys: readonly Signer[]): Signer | undefined {
  return keys.reduce<Signer | undefined>(
    (one, key) => (one && one.activatesAt >= key.activatesAt ? one : key),
    undefined,
  )
}

async function spki(jwk: PublicJwk): Promise<string> {
  return `${(await exportSPKI((await importJWK(jwk, jwk.alg, { extractable: true })) as CryptoKey)).trim()}\n`
}
