import type { Replica, Replicas } from '../installation/replicas.ts'
import type { Clock } from '../system/clock.ts'

/** Connected replicas confirm within half of this; the others are reported. */
const CONFIRMED_WITHIN_MS = 2_000
const ASK_AGAIN_MS = 50

/** The result of a revocation. */
export interface Emergency {
  kid: string
  confirmed: Replica[]
  /** Replicas that may still sign with the key, until their `exchangesUntil` at the latest. */
  unconfirmed: Replica[]
}

/** Waits until every replica that could sign with the key has dropped it; returns those that have not. */
export async function confirmations(
  { replicas, clock }: { replicas: Replicas; clock: Clock },
  kid: string,
): Promise<Emergency> {
  const deadline = clock.monotonicMs() + CONFIRMED_WITHIN_MS
  for (;;) {
    const serving = (await replicas.list()).filter(replica => !replica.silent)
    const unconfirmed = serving.filter(replica => replica.kids.includes(kid))
    if (unconfirmed.length === 0 || clock.monotonicMs() > deadline) {
      return { kid, confirmed: serving.filter(replica => !unconfirmed.includes(replica)), unconfirmed }
    }
    await clock.sleep(ASK_AGAIN_MS)
  }
}
