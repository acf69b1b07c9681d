import type { SigningAlg } from '../config/signing-alg.ts'
import type { KeyRing } from './key-ring.ts'

/** How the keys of one algorithm stand. */
export interface SigningKeyStatus {
  alg: SigningAlg
  /** How many are published, by their stored state. */
  published: Record<'active' | 'standby' | 'retiring', number>
  /** Since when the key that signs now has done so; undefined: none can sign. */
  signerAgeSeconds: number | undefined
  /** Until the next standby takes over; negative when that is due and not done; undefined: no time is fixed. */
  nextActivationSeconds: number | undefined
}

/** By algorithm, for those that have a published key. `now` in epoch milliseconds, database time. */
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
