import { createHash, type KeyObject } from 'node:crypto'
import { type CryptoKey, exportSPKI, importJWK } from 'jose'
import type { PublicJwk, SigningKey } from './signing-key.ts'

/** A published key; `privateKey` where this process holds it and may sign. */
export interface RingKey extends SigningKey {
  privateKey: KeyObject | undefined
}

/**
 * The keys that this process publishes and signs with, as one value that is replaced whole: it signs only with keys
 * that are in its own JWKS, and the JWKS is a function of the stored keys alone, so that all replicas answer the same
 * bytes (istiod pushes configuration to every sidecar when they differ).
 */
export class KeyRing {
  readonly keys: readonly RingKey[]
  /** The JSON text of the JWK Set, RFC 7517 §5: public members only, in the order of kids. */
  readonly jwks: string
  /** Strong entity tag of `jwks` (RFC 9110 §8.8.3). */
  readonly etag: string
  readonly #pems: ReadonlyMap<string, string>

  private constructor(keys: readonly RingKey[], pems: ReadonlyMap<string, string>) {
    this.keys = keys
    this.jwks = JSON.stringify({ keys: keys.map(key => key.publicJwk) })
    this.etag = `"${createHash('sha256').update(this.jwks).digest('base64url')}"`
    this.#pems = pems
  }

  static async of(keys: readonly RingKey[]): Promise<KeyRing> {
    const sorted = [...keys].sort((a, b) => (a.kid < b.kid ? -1 : 1))
    const pems = await Promise.all(sorted.map(async key => [key.kid, await spki(key.publicJwk)] as const))
    return new KeyRing(sorted, new Map(pems))
  }

  /**
   * The key to sign with at `now`: of those whose time has come, the latest. Time decides, not the stored state, so
   * that a replica cut off from the database changes over on schedule.
   */
  signer(alg: string, now: number): (RingKey & { privateKey: KeyObject }) | undefined {
    const started = this.keys.filter(
      (key): key is RingKey & { privateKey: KeyObject; activatesAt: number } =>
        key.alg === alg && key.privateKey !== undefined && key.activatesAt !== null && key.activatesAt <= now,
    )
    return started.reduce<(typeof started)[number] | undefined>(
      (latest, key) => (latest && latest.activatesAt >= key.activatesAt ? latest : key),
      undefined,
    )
  }

  /** SubjectPublicKeyInfo in PEM, for verifiers that read no JWKS (HAProxy, njs, Kong). */
  pem(kid: string): string | undefined {
    return this.#pems.get(kid)
  }
}

async function spki(jwk: PublicJwk): Promise<string> {
  return `${(await exportSPKI((await importJWK(jwk, jwk.alg, { extractable: true })) as CryptoKey)).trim()}\n`
}
