import type { SigningAlg } from '../config/signing-alg.ts'
import type { KeyRing } from './key-ring.ts'

/** The state of one algorithm's keys. */
export interface SigningKeyStatus {
  alg: SigningAlg
  /** Number of published keys, by stored state. */
  published: Record<'active' | 'standby' | 'retiring', number>
  /** How long the current key has been signing; undefined: none can sign. */
  signerAgeSeconds: number | undefined
  /** Until the next standby is activated; negative when overdue; undefined: not scheduled. */
  nextActivationSeconds: number | undefined
}

/** For each algorithm with a published key. `now` in epoch milliseconds, database time. */
export function signingKeyStatuses(ring: KeyRing, now: number): SigningKeyStatus[] {
  return [...new Set(ring.keys.map(key => key.alg))].map(alg => {
    const keys = ring.keys.filter(key => key.alg === alg)
    const count = (state: string) => keys.filter(key => key.state === state).length
    const signer = ring.signer(alg, now)
    const activations = keys.flatMap(key => (key.state === 'standby' ? (key.activatesAt ?? []) : []))
    return {
      alg,
      published: { active: count('active'), standby: count('standby'), retiring: count('retiring') },
      signerAgeSeconds: signer?.activatesAt == null ? undefined : (now - signer.activatesAt) / 1000,
      nextActivationSeconds: activations.length === 0 ? undefined : (Math.min(...activations) - now) / 1000,
    }
  })
}
