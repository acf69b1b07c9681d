import type { Identities } from '../directory/identities.ts'
import { type IdentityFault, identify } from '../identity-providers/identify.ts'
import { type AuthFailure, evaluate } from './authenticator.ts'

/** What an exchange of an assertion would yield. */
export interface Explanation {
  /** Undefined: it would be accepted. */
  reason: IdentityFault | AuthFailure['reason'] | 'client_unknown' | undefined
  providerId: string | undefined
  /** Only of an assertion with a valid signature. */
  subject: string | undefined
  /** The credentials that the reason is about, or the one that matches. */
  credentialIds: readonly string[]
  keyId: string | undefined
  tenantId: string | undefined
}

/**
 * Explains to an operator what an exchange would do. Nothing is remembered or counted, and no keys are fetched.
 * `now`: database time in epoch milliseconds.
 * @throws {Unavailable} when the database is needed and does not answer.
 */
export async function explain(
  identities: Identities,
  assertion: string,
  options: { client: string | undefined; asIdToken: boolean; now: number },
): Promise<Explanation> {
  const { client, asIdToken, now } = options
  const keys = {
    keysOf: (id: string) => identities.keysOf(id),
    isStopped: (id: string) => identities.isStopped(id),
    noteUnknownKey: () => {},
  }
  const { federation } = identities
  const identified = await identify(assertion, { federation, keys }, { now, expected: { client }, asIdToken })
  if (!identified.ok) {
    const { reason, providerId, subject, credentialIds = [] } = identified
    return { reason, providerId, subject, credentialIds, keyId: undefined, tenantId: undefined }
  }
  const { id, keyId, tenantId } = identified.credential
  const found = identities.snapshot(keyId, id) ?? (await identities.lookUp(keyId, id))
  const evaluated = found && evaluate(found, undefined, now)
  const reason = evaluated ? (evaluated.ok ? undefined : evaluated.reason) : 'client_unknown'
  const about = { subject: identified.assertion.sub, credentialIds: [id], keyId, tenantId }
  return { reason, providerId: identified.provider.id, ...about }
}
