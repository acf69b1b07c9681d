import type { Actor } from '../audit/audit-event.ts'
import { type Mutation, mutate } from '../audit/audit-log.ts'
import type { Database, Handle } from '../database/database.ts'
import { databaseNow } from '../database/database-time.ts'
import { requireVersion } from '../database/version.ts'
import type { Policy } from '../installation/policy.ts'
import type { RowSeals } from '../installation/row-seals.ts'
import type { KeyEncryption } from './key-encryption.ts'
import type { Step } from './rotation.ts'
import { generateSigningKey } from './signing-key.ts'
import { lockSigningKeys, type RejectedKey, readKeys, type StoredKey } from './signing-key-repository.ts'
import { applySteps } from './transitions.ts'

/** The input of a decision: the stored keys, and the database time in epoch milliseconds. */
export interface RotationState {
  keys: readonly StoredKey[]
  /** Published rows that are not genuine. */
  rejected: readonly RejectedKey[]
  /** Genuine keys may exist that are not among `keys`. */
  crowded: boolean
  now: number
  policy: Policy
}

export interface Decision<T> {
  result: T
  steps: readonly Step[]
  /** Further work in the same transaction. */
  also?: (mutation: Mutation) => Promise<void>
}

/**
 * The only way to change stored signing keys. `decide` runs twice: first without a lock, so that nothing is locked when
 * there is nothing to do and new keys can be generated in advance; then under the row lock, where it counts. So any
 * number of processes may try concurrently, and each step happens once. `versionIn` returns the version of the target,
 * for requests with a precondition.
 *
 * @throws what `decide` throws. @throws {PreconditionFailed}
 */
export async function changeKeys<T>(
  parts: { database: Database; encryption: KeyEncryption; seals: RowSeals; known: readonly string[] },
  actor: Actor,
  decide: (state: RotationState) => Decision<T>,
  versionIn?: (state: RotationState) => string | undefined,
): Promise<T> {
  const { database, encryption, seals, known } = parts
  const read = async (db: Handle, now: number) => ({ ...(await readKeys(db, seals, known)), now })
  const before = await database.run(async db => read(db, await databaseNow(db)))
  const foreseen = decide(before)
  if (foreseen.steps.length === 0 && !foreseen.also) {
    if (actor.precondition) requireVersion(actor.precondition, versionIn?.(before))
    return foreseen.result
  }
  const spares = await Promise.all(
    foreseen.steps.flatMap(step => (step.type === 'create' ? generateSigningKey(step.alg) : [])),
  )
  return mutate(database, actor, async mutation => {
    const { now } = await lockSigningKeys(mutation.trx)
    const state = await read(mutation.trx, now)
    const { result, steps, also } = decide(state)
    if (versionIn) mutation.found(versionIn(state))
    await applySteps(mutation, steps, { encryption, seals, spares, now })
    await also?.(mutation)
    return result
  })
}

/** Of steps that are due: no key is created while another replica may have created it already. */
export const certain = ({ crowded }: Pick<RotationState, 'crowded'>, steps: readonly Step[]): Step[] =>
  steps.filter(({ type }) => !crowded || type !== 'create')
