import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { decodeProtectedHeader } from 'jose'

/** A verifier with a cached JWK Set, which does not fetch again for an unknown kid. */
export interface CachingVerifier {
  name: string
  /** Throws with the reason. */
  verify(jwt: string): Promise<void>
  fetches(): { good: number; failed: number }
  stop(): void
}

class CachedSet {
  #keys = new Map<string, KeyObject>()
  good = 0
  failed = 0

  /** Keeps the last valid set. `broken` simulates a network failure. */
  async fetch(url: string, broken = false): Promise<boolean> {
    try {
      if (broken) throw new Error('broken')
      const answer = await fetch(url)
      if (!answer.ok) throw new Error(String(answer.status))
      const { keys } = (await answer.json()) as { keys: (object & { kid: string })[] }
      if (keys.length === 0) throw new Error('an empty set')
      this.#keys = new Map(keys.map(key => [key.kid, createPublicKey({ key: key as never, format: 'jwk' })]))
      this.good++
      return true
    } catch {
      this.failed++
      return false
    }
  }

  verify(name: string, jwt: string): void {
    const { kid = '' } = decodeProtectedHeader(jwt)
    const key = this.#keys.get(kid)
    if (!key) throw new Error(`${name} does not know the kid ${kid}`)
    const [header, claims, signature = ''] = jwt.split('.')
    const options = { key, dsaEncoding: 'ieee-p1363' as const }
    if (!verify('sha256', Buffer.from(`${header}.${claims}`), options, Buffer.from(signature, 'base64url')))
      throw new Error(`${name} finds the signature wrong`)
  }
}

/**
 * istiod: fetches every `refreshMs`; after a failure it retries in a twentieth of that, doubling up to three times it,
 * and keeps the last valid keys (pilot/pkg/model/jwks_resolver.go: 20 minutes, 1 minute, 60 minutes). `waits` are the
 * pauses after the simulated failures, in refreshes, repeated with four successful fetches between.
 */
export async function startIstiod(
  name: string,
  url: () => string,
  refreshMs: number,
  waits: readonly number[],
): Promise<CachingVerifier> {
  const set = new CachedSet()
  let stopped = false
  await set.fetch(url())
  void (async () => {
    while (!stopped) {
      for (let count = 0; count < 4 && !stopped; count++) {
        await sleep(refreshMs)
        await set.fetch(url())
      }
      await sleep(refreshMs)
      for (const wait of waits) {
        await set.fetch(url(), true)
        await sleep(wait * refreshMs)
      }
      await set.fetch(url())
    }
  })()
  return {
    name,
    verify: async jwt => set.verify(name, jwt),
    fetches: () => ({ good: set.good, failed: set.failed }),
    stop: () => {
      stopped = true
    },
  }
}

/** Envoy's remote_jwks: fetches when a request needs it and the set is older than cache_duration. */
export function startEnvoyCache(url: () => string, cacheMs: number): CachingVerifier {
  const set = new CachedSet()
  let fetchedAt = Number.NEGATIVE_INFINITY
  let fetching: Promise<boolean> | undefined
  return {
    name: 'envoy cache',
    verify: async jwt => {
      if (performance.now() - fetchedAt > cacheMs) {
        fetching ??= set.fetch(url()).finally(() => {
          fetchedAt = performance.now()
          fetching = undefined
        })
        await fetching
      }
      set.verify('envoy cache', jwt)
    },
    fetches: () => ({ good: set.good, failed: set.failed }),
    stop: () => {},
  }
}
