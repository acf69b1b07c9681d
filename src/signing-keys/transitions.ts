import { type AuditEvent, fieldChanges } from '../audit/audit-event.ts'
import type { Mutation } from '../audit/audit-log.ts'
import type { SigningAlg } from '../config/signing-alg.ts'
import type { KeyEncryption } from './key-encryption.ts'
import type { Step } from './rotation.ts'
import type { GeneratedKey } from './signing-key.ts'
import {
  activateKey,
  forgetKey,
  holdKey,
  insertSigningKey,
  removeKey,
  retireKey,
  revokeKey,
  scheduleActivation,
} from './signing-key-repository.ts'

interface Means {
  encryption: KeyEncryption
  /** Keys generated before the transaction, because that takes longer than a lock should be held. */
  spares: GeneratedKey[]
  /** Database time. */
  now: number
}

/**
 * Applies the steps in order, each as one conditional update with an audit row. A key for which no spare exists is left
 * to the next call: the plan grew while waiting for the lock.
 */
export async function applySteps(mutation: Mutation, steps: readonly Step[], means: Means): Promise<void> {
  for (const step of steps) {
    const event = await apply(mutation, step, means)
    if (event) mutation.record(event, { kind: 'signing-keys', id: event.targetId })
  }
}

async function apply({ trx }: Mutation, step: Step, means: Means): Promise<AuditEvent | undefined> {
  const { now } = means
  switch (step.type) {
    case 'create':
      return create(trx, step, means)
    case 'schedule':
      await scheduleActivation(trx, step.kid, step.activatesAt)
      return event('schedule', step.kid, fieldChanges(undefined, { activatesAt: instant(step.activatesAt) }))
    case 'activate':
      await activateKey(trx, step.kid, step.activatesAt)
      return event('active', step.kid, { state: { from: 'standby', to: 'active' } })
    case 'retire':
      await retireKey(trx, step.kid, step)
      return event('retiring', step.kid, {
        state: { to: 'retiring' },
        ...fieldChanges(undefined, { retiresAt: instant(step.retiresAt) }),
      })
    case 'forget':
      await forgetKey(trx, step.kid)
      return event('forget', step.kid, { privateHalf: { from: 'encrypted', to: null } })
    case 'remove':
      await removeKey(trx, step.kid, now)
      return event('removed', step.kid, { state: { from: 'retiring', to: 'removed' } })
    case 'revoke':
      await revokeKey(trx, step.kid, now, step.reason)
      return event('revoke', step.kid, { state: { to: 'removed' }, reason: { to: step.reason } })
    case 'hold':
    case 'release':
      await holdKey(trx, step.kid, step.type === 'hold')
      return event(step.type, step.kid, { held: { to: step.type === 'hold' } })
    default:
      return step satisfies never
  }
}

async function create(
  trx: Mutation['trx'],
  step: Extract<Step, { type: 'create' }>,
  { encryption, spares, now }: Means,
): Promise<AuditEvent | undefined> {
  const { alg, state, activatesAt } = step
  const made = takeSpare(spares, alg)
  if (!made) return undefined
  const encrypted = encryption.encrypt(made.kid, made.privateJwk)
  await insertSigningKey(trx, { ...made, state, activatesAt, encrypted, now })
  return event('create', made.kid, fieldChanges(undefined, { alg, state, activatesAt: instant(activatesAt) }))
}

function takeSpare(spares: GeneratedKey[], alg: SigningAlg): GeneratedKey | undefined {
  const index = spares.findIndex(spare => spare.alg === alg)
  return index < 0 ? undefined : spares.splice(index, 1)[0]
}

const instant = (ms: number | null) => (ms === null ? null : new Date(ms))

const event = (action: string, kid: string, changes: AuditEvent['changes']): AuditEvent => ({
  action: `signing-key.${action}`,
  targetKind: 'signing-key',
  targetId: kid,
  changes,
})
