import {
  type Assertion,
  type AssertionFault,
  assertionFault,
  parseAssertion,
  type Refusal,
} from './assertion.ts'
import type {
  Expected,
  FederatedCredential,
  FederatedProvider,
  Federation,
  MatchFault,
} from './federation.ts'
import { sendsIdTokens } from './provider-kind.ts'
import { hasSignatureOf, keyFor, type SignatureFault, type VerificationKey } from './verification-key.ts'

/** Whom an assertion is for; or why it is refused. */
export type Identification = Identified | Unidentified

interface Identified {
  ok: true
  assertion: Assertion
  provider: FederatedProvider
  credential: FederatedCredential
}

interface Unidentified extends Refusal<IdentityFault> {
  providerId?: string
  /** What was signed by the issuer; of an assertion with an invalid signature, nothing. */
  subject?: string
  /** The credentials that the reason is about. */
  credentialIds?: readonly string[]
}

export type IdentityFault =
  | AssertionFault
  | SignatureFault
  | MatchFault
  | 'assertion_as_id_token'
  /** The provider has no keys, or they are too old: not the caller's fault. */
  | 'provider_unavailable'
  /** A key of the provider is another provider's as well. */
  | 'provider_stopped'

export interface ProviderKeys {
  /** Undefined: none, or they are too old. */
  keysOf(providerId: string): readonly VerificationKey[] | undefined
  isStopped(providerId: string): boolean
  /** The provider's issuer may have a new key with this id. */
  noteUnknownKey(providerId: string): void
}

/**
 * Finds the credential that an assertion is for: parse, provider, what is refused whatever matches, signature, rules.
 * `now` in epoch milliseconds. Without I/O.
 */
export async function identify(
  text: string,
  { federation, keys }: { federation: Federation; keys: ProviderKeys },
  options: { now: number; expected: Expected; asIdToken: boolean },
): Promise<Identification> {
  const parsed = parseAssertion(text)
  if (!parsed.ok) return parsed
  const { assertion } = parsed
  const found = federation.providerOf(assertion)
  if (!found.ok) return found
  const { provider } = found
  const providerId = provider.id
  if (options.asIdToken && !sendsIdTokens(provider.kind))
    return { ok: false, reason: 'assertion_as_id_token', providerId }
  const fault = assertionFault(assertion, provider.kind, options.now)
  if (fault) return { ok: false, reason: fault, providerId }
  if (keys.isStopped(providerId)) return { ok: false, reason: 'provider_stopped', providerId }
  const known = keys.keysOf(providerId)
  if (!known) return { ok: false, reason: 'provider_unavailable', providerId }
  const choice = keyFor(assertion, known, provider.algorithms)
  if (!choice.ok) {
    if (choice.reason === 'assertion_unknown_key') keys.noteUnknownKey(providerId)
    return { ...choice, providerId }
  }
  if (!(await hasSignatureOf(assertion, choice.key)))
    return { ok: false, reason: 'assertion_signature', providerId }
  const match = federation.match(assertion, provider, options.expected)
  if (match.ok) return { ok: true, assertion, provider, credential: match.credential }
  const credentialIds = match.credentials.map(({ id }) => id)
  return { ok: false, reason: match.reason, providerId, subject: assertion.sub, credentialIds }
}

const LONGEST_WORKLOAD = 128

/**
 * Distinguishes the workloads of one key: the pod, or the subject. At most 128 printable ASCII characters; undefined: none
 * fits.
 */
export function workloadOf({ sub, claims }: Assertion): string | undefined {
  const kubernetes = claims['kubernetes.io'] as { pod?: { name?: unknown } } | null | undefined
  const pod = typeof kubernetes === 'object' ? kubernetes?.pod?.name : undefined
  const name = typeof pod === 'string' ? pod : sub
  return /^[\x21-\x7e]+$/.test(name) && name.length <= LONGEST_WORKLOAD ? name : undefined
}
