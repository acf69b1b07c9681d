import type { Actor } from '../audit/audit-event.ts'
import type { Handle } from '../database/database.ts'
import { TooMany } from '../errors.ts'
import { secondsUntilFewer } from './token-epoch-repository.ts'

/** Of one key, and of one tenant as a whole: entries of the deny list that have not ended. */
const MOST_ENDS = 20
/** Of all keys of a tenant together. */
const MOST_ENDS_OF_KEYS = 1_000
/** The same with the revocations of keys: twice the keys that a tenant may have by default. */
const MOST_ENDED_KEYS = 20_000

/**
 * Bounds what the administrators of one tenant put on the deny list, which all gateways read and which has a bound at some of
 * them: each end of all tokens adds an entry, and can be repeated at once. Other authors are not bounded, nor is the
 * revocation of keys, which happens once to each: `refuseKeysAfterEnds` bounds how many there are to revoke.
 * @throws {TooMany}
 */
export async function refuseTooManyEnds(
  trx: Handle,
  { tenantId }: Actor,
  ended: { key: string } | { tenant: string },
): Promise<void> {
  if (tenantId === undefined) return
  if ('tenant' in ended) {
    const seconds = await secondsUntilFewer(trx, { tenant: ended.tenant, claim: 'tenant_epoch' }, MOST_ENDS)
    refuse(
      seconds,
      `${MOST_ENDS} entries for all tokens of this tenant`,
      'Revoke or disable keys, or ask an operator of the installation.',
    )
    return
  }
  const ofKey = await secondsUntilFewer(trx, { key: ended.key, claim: 'key_epoch' }, MOST_ENDS)
  refuse(
    ofKey,
    `${MOST_ENDS} entries for all tokens of this key`,
    'Revoke the key, or disable it without `revoke_tokens`.',
  )
  const ofAll = await secondsUntilFewer(trx, { tenant: tenantId, claim: 'key_epoch' }, MOST_ENDS_OF_KEYS)
  refuse(
    ofAll,
    `${MOST_ENDS_OF_KEYS} entries for keys of this tenant`,
    'Revoke the tokens of the whole tenant, revoke the key, or disable it without `revoke_tokens`.',
  )
}

/** For an author who is bound to a tenant and creates keys of it: each is an entry once it is revoked. @throws {TooMany} */
export async function refuseKeysAfterEnds(trx: Handle, { tenantId }: Actor): Promise<void> {
  if (tenantId === undefined) return
  const of = { tenant: tenantId, claim: 'key_epoch' } as const
  const seconds = await secondsUntilFewer(trx, of, MOST_ENDED_KEYS)
  refuse(
    seconds,
    `${MOST_ENDED_KEYS} entries for keys of this tenant`,
    'Use the keys that it has, or ask an operator of the installation for a new one.',
  )
}

function refuse(seconds: number | undefined, what: string, cure: string): void {
  if (seconds === undefined) return
  throw new TooMany(
    'too_many_token_revocations',
    `The list of revoked tokens has ${what}, which is the limit for the administrators of a tenant. ${cure}`,
    Math.max(1, seconds),
  )
}
