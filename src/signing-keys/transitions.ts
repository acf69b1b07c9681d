import { type AuditEvent, fieldChanges } from '../audit/audit-event.ts'
import type { Mutation } from '../audit/audit-log.ts'
import type { SigningAlg } from '../config/signing-alg.ts'
import type { RowSeals } from '../installation/row-seals.ts'
import type { KeyEncryption } from './key-encryption.ts'
import type { Step } from './rotation.ts'
import type { GeneratedKey, SigningKey } from './signing-key.ts'
import {
  changeSigningKey,
  discardRow,
  insertSigningKey,
  type KeyChange,
  WITHOUT_PRIVATE_KEY,
} from './signing-key-repository.ts'

interface Means {
  encryption: KeyEncryption
  seals: RowSeals
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
  const now = new Date(means.now)
  const { seals } = means
  const change = (
    kid: string,
    from: readonly SigningKey['state'][],
    to: Parameters<typeof changeSigningKey>[4],
  ) => changeSigningKey(trx, seals, kid, from, to)
  switch (step.type) {
    case 'create':
      return create(trx, step, means)
    case 'schedule':
      await change(step.kid, ['standby'], { activates_at: instant(step.activatesAt) })
      return event('schedule', step.kid, fieldChanges(undefined, { activatesAt: instant(step.activatesAt) }))
    case 'activate':
      await change(step.kid, ['standby'], {
        state: 'active',
        activates_at: new Date(step.activatesAt),
        held: false,
      })
      return event('active', step.kid, { state: { from: 'standby', to: 'active' } })
    case 'retire':
      await change(step.kid, ['active', 'standby'], row => retired(row, step))
      return event('retiring', step.kid, {
        state: { to: 'retiring' },
        ...fieldChanges(undefined, { retiresAt: instant(step.retiresAt) }),
      })
    case 'forget':
      await change(step.kid, ['retiring'], WITHOUT_PRIVATE_KEY)
      return event('forget', step.kid, { privateHalf: { from: 'encrypted', to: null } })
    case 'remove':
      await change(step.kid, ['retiring'], { state: 'removed', removed_at: now, ...WITHOUT_PRIVATE_KEY })
      return event('removed', step.kid, { state: { from: 'retiring', to: 'removed' } })
    case 'revoke':
      await change(step.kid, PUBLISHED, revoked(now, step.reason))
      return event('revoke', step.kid, { state: { to: 'removed' }, reason: { to: step.reason } })
    case 'discard':
      await discardRow(trx, step.kid, means.now, step.reason)
      return event('discard', step.kid, { state: { to: 'removed' }, reason: { to: step.reason } })
    case 'hold':
    case 'release':
      await change(step.kid, PUBLISHED, { held: step.type === 'hold' })
      return event(step.type, step.kid, { held: { to: step.type === 'hold' } })
    default:
      return step satisfies never
  }
}

const PUBLISHED = ['active', 'standby', 'retiring'] as const

/** A standby of a removed algorithm retires too: a replica without the database may activate it on schedule. */
const retired = (
  { state, activates_at }: { state: string; activates_at: Date | null },
  { retiresAt, forgetsAt }: { retiresAt: number; forgetsAt: number },
): KeyChange => ({
  state: 'retiring',
  activates_at: state === 'active' ? activates_at : null,
  retires_at: new Date(retiresAt),
  forgets_at: new Date(forgetsAt),
  held: false,
})

const revoked = (at: Date, reason: string): KeyChange => ({
  state: 'removed',
  removed_at: at,
  revoked_at: at,
  revoked_reason: reason,
  held: false,
  ...WITHOUT_PRIVATE_KEY,
})

async function create(
  trx: Mutation['trx'],
  step: Extract<Step, { type: 'create' }>,
  { encryption, seals, spares, now }: Means,
): Promise<AuditEvent | undefined> {
  const { alg, state, activatesAt } = step
  const generated = takeSpare(spares, alg)
  if (!generated) return undefined
  const encrypted = encryption.encrypt(generated.kid, generated.privateJwk)
  await insertSigningKey(trx, seals, { ...generated, state, activatesAt, encrypted, now })
  return event(
    'create',
    generated.kid,
    fieldChanges(undefined, { alg, state, activatesAt: instant(activatesAt) }),
  )
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
