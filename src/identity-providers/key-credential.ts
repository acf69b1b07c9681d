import type { FederatedRule } from './federated-rule.ts'
import type { KeySet } from './identity-provider.ts'

/** How the holder of a key proves itself without a secret. */
export type CredentialSettings =
  | ({ type: 'federated'; providerId: string } & FederatedRule)
  | {
      type: 'public_key'
      jwks: KeySet
      /** Where the use of an assertion is remembered: on each replica, or for all in the database. Absent: on each. */
      singleUse?: SingleUse
    }

export const SINGLE_USES = ['replica', 'database'] as const
export type SingleUse = (typeof SINGLE_USES)[number]

export interface KeyCredential {
  /** `crd_` and 16 characters. */
  id: string
  keyId: string
  settings: CredentialSettings
  /** `root`, or the id of an admin token. */
  createdBy: string | null
  createdAt: Date
  lastUsedAt: Date | null
}

/** A key has a few: one for each environment. */
export const MOST_CREDENTIALS = 20
/** Every replica has all of them in memory, those of revoked keys too. */
export const MOST_OF_A_TENANT = 1_000
