import {
  MOST_PUBLISHED_KEYS,
  privateRetentionSeconds,
  type RotationPolicy,
  retentionSeconds,
} from '../config/rotation-policy.ts'
import type { SigningAlg } from '../config/signing-alg.ts'
import { Conflict, NotFound } from '../errors.ts'
import { type Policy, publishedAlgs } from '../installation/policy.ts'
import type { SigningKey } from './signing-key.ts'

/** One forward-only change to the stored keys. Instants are epoch milliseconds of database time. */
export type Step =
  | { type: 'create'; alg: SigningAlg; state: 'active'; activatesAt: number }
  | { type: 'create'; alg: SigningAlg; state: 'standby'; activatesAt: number | null }
  | { type: 'schedule'; kid: string; activatesAt: number | null }
  | { type: 'activate'; kid: string; activatesAt: number }
  | { type: 'retire'; kid: string; retiresAt: number; forgetsAt: number }
  | { type: 'forget'; kid: string }
  | { type: 'remove'; kid: string }
  | { type: 'revoke' | 'discard'; kid: string; reason: string }
  | { type: 'hold' | 'release'; kid: string }

type Keys = readonly SigningKey[]

/** A call so soon after a rotation is treated as a retry whose response was lost. */
const JUST_NOW_MS = 60_000

/** The earliest activation of a standby: verifiers must have had time to fetch it. */
export function earliestActivation(
  standby: Pick<SigningKey, 'publishedAt'>,
  now: number,
  policy: RotationPolicy,
): number {
  return Math.max(now, standby.publishedAt + policy.publishLeadSeconds * 1000)
}

/**
 * The steps that are due at `now`, in order. Pure: the same keys and time give the same steps on every replica, and
 * none when nothing is due. `activeIsRevoked`: an active key that is not among `keys` was revoked, so its successor does not
 * wait until verifiers know it.
 */
export function duePlan(
  keys: Keys,
  now: number,
  policy: Policy,
  { activeIsRevoked = false }: { activeIsRevoked?: boolean } = {},
): Step[] {
  const removed = keys.filter(key => key.state === 'retiring' && !key.held && past(key.retiresAt, now))
  const steps: Step[] = removed.map(({ kid }) => ({ type: 'remove', kid }))
  for (const key of keys) {
    if (!removed.includes(key) && past(key.forgetsAt, now)) steps.push({ type: 'forget', kid: key.kid })
  }
  const wanted = publishedAlgs(policy)
  for (const key of keys) if (inUse(key) && !wanted.includes(key.alg)) steps.push(retire(key, now, policy))
  for (const alg of wanted) steps.push(...planFor(alg, keys, now, policy, activeIsRevoked))
  return withinTheLimit(steps, keys.length - removed.length)
}

const past = (instant: number | null, now: number) => instant !== null && instant <= now
const inUse = (key: SigningKey) => key.state === 'active' || key.state === 'standby'

function planFor(alg: SigningAlg, keys: Keys, now: number, policy: Policy, activeIsRevoked: boolean): Step[] {
  const { active, standby } = pairOf(alg, keys)
  const due = standby && past(standby.activatesAt, now) ? standby : undefined
  const steps: Step[] = []
  // Only an installation without a signing key may use a key that no verifier has fetched.
  const first = !keys.some(inUse)
  if (first) steps.push({ type: 'create', alg, state: 'active', activatesAt: now })
  if (due) steps.push(...takeOver(active, due.kid, due.activatesAt ?? now, now, policy))
  const signer = due ?? active
  const since = first ? now : (signer?.activatesAt ?? null)
  const held = signer?.held ?? false
  if (!standby || due) {
    const activatesAt = held ? null : nextTurn({ publishedAt: now }, since, now, policy)
    steps.push({ type: 'create', alg, state: 'standby', activatesAt })
  } else if (!standby.held && !held) {
    const isUrgent = activeIsRevoked && !active
    const activatesAt = isUrgent ? now : nextTurn(standby, since, now, policy)
    // Without an active key, which was lost, the standby takes its turn as soon as verifiers know it.
    const late = !active && standby.activatesAt !== null && standby.activatesAt > activatesAt
    if (standby.activatesAt !== null && !late) return steps
    // Released after its turn has come, it takes over at once.
    if (past(activatesAt, now))
      return planFor(alg, replaced(keys, { ...standby, activatesAt }), now, policy, activeIsRevoked)
    steps.push({ type: 'schedule', kid: standby.kid, activatesAt })
  }
  return steps
}

const replaced = (keys: Keys, key: SigningKey) => keys.map(other => (other.kid === key.kid ? key : other))

/** The signing key retires, and the standby is activated. */
function takeOver(
  active: SigningKey | undefined,
  kid: string,
  activatesAt: number,
  now: number,
  policy: Policy,
): Step[] {
  const steps: Step[] = active ? [retire(active, now, policy)] : []
  return [...steps, { type: 'activate', kid, activatesAt }]
}

function retire({ kid }: SigningKey, now: number, policy: Policy): Step {
  const retiresAt = now + retentionSeconds(policy) * 1000
  return { type: 'retire', kid, retiresAt, forgetsAt: now + privateRetentionSeconds(policy) * 1000 }
}

/** When a standby replaces the key that has signed since `since`; without one, as soon as the lead has passed. */
function nextTurn(
  standby: Pick<SigningKey, 'publishedAt'>,
  since: number | null,
  now: number,
  policy: RotationPolicy,
): number {
  const earliest = earliestActivation(standby, now, policy)
  return since === null ? earliest : Math.max(earliest, since + policy.rotationIntervalSeconds * 1000)
}

/** A new standby waits until the JWK Set has room for it. */
function withinTheLimit(steps: Step[], published: number): Step[] {
  let count = published
  return steps.filter(step => {
    if (step.type !== 'create') return true
    if (step.state === 'standby' && count >= MOST_PUBLISHED_KEYS) return false
    count++
    return true
  })
}

function pairOf(alg: SigningAlg, keys: Keys) {
  const of = (state: SigningKey['state']) => keys.find(key => key.alg === alg && key.state === state)
  return { active: of('active'), standby: of('standby') }
}

/** Reschedules the activation of each standby after a policy change. */
export function reschedulePlan(keys: Keys, now: number, policy: Policy): Step[] {
  return publishedAlgs(policy).flatMap((alg): Step[] => {
    const { active, standby } = pairOf(alg, keys)
    if (!standby || standby.activatesAt === null || past(standby.activatesAt, now)) return []
    const activatesAt = nextTurn(standby, active?.activatesAt ?? null, now, policy)
    return activatesAt === standby.activatesAt ? [] : [{ type: 'schedule', kid: standby.kid, activatesAt }]
  })
}

/**
 * The standby is activated as soon as verifiers have had the publish lead to fetch it. Idempotent: an earlier
 * activation is kept, and a retry right after a rotation returns that rotation.
 *
 * @throws {Conflict} while the algorithm's key is held, there is no standby, or too many keys are published.
 */
export function rotatePlan(
  keys: Keys,
  now: number,
  policy: Policy,
  alg: SigningAlg,
): { kid: string; activatesAt: number; steps: Step[] } {
  const { active, standby } = pairOf(alg, keys)
  const held = [active, standby].find(key => key?.held)
  if (held) throw new Conflict('signing_key_held', `The key ${held.kid} is held. Release it first.`)
  const justNow =
    active?.activatesAt &&
    active.activatesAt > now - JUST_NOW_MS &&
    keys.some(key => key.state === 'retiring')
  if (active?.activatesAt && justNow) return { kid: active.kid, activatesAt: active.activatesAt, steps: [] }
  if (!standby)
    throw new Conflict('no_standby', 'No standby key exists yet. Retry when a retiring key has been removed.')
  const activatesAt = earliestActivation(standby, now, policy)
  if (standby.activatesAt !== null && standby.activatesAt <= activatesAt)
    return { kid: standby.kid, activatesAt: standby.activatesAt, steps: [] }
  refuseCrowd(keys, activatesAt)
  return { kid: standby.kid, activatesAt, steps: [{ type: 'schedule', kid: standby.kid, activatesAt }] }
}

/** After a rotation at that time a new standby must fit in. @throws {Conflict} */
function refuseCrowd(keys: Keys, activatesAt: number): void {
  const published = keys.filter(key => key.held || !past(key.retiresAt, activatesAt))
  if (published.length < MOST_PUBLISHED_KEYS) return
  const room = Math.min(...published.flatMap(key => (key.held ? [] : (key.retiresAt ?? []))))
  const when = Number.isFinite(room)
    ? `The next one is removed at ${new Date(room).toISOString()}.`
    : 'Release a held key.'
  throw new Conflict(
    'too_many_signing_keys',
    `${MOST_PUBLISHED_KEYS} keys are published, and verifiers accept no more. ${when}`,
  )
}

/** An active key stays active, a retiring one stays published, regardless of the schedule. @throws {NotFound} */
export function holdPlan(keys: Keys, kid: string): Step[] {
  const key = getKey(keys, kid)
  const steps: Step[] = key.held ? [] : [{ type: 'hold', kid }]
  if (!inUse(key)) return steps
  const { standby } = pairOf(key.alg, keys)
  if (standby && standby.activatesAt !== null)
    steps.push({ type: 'schedule', kid: standby.kid, activatesAt: null })
  return steps
}

/** The schedule continues: `duePlan` sets the standby's activation. @throws {NotFound} */
export function releasePlan(keys: Keys, kid: string): Step[] {
  return getKey(keys, kid).held ? [{ type: 'release', kid }] : []
}

/**
 * Emergency revocation: the key leaves the JWKS at once, and if it was signing, the standby is activated at once. A row
 * that is not genuine is only removed; one that was revoked already, before a restore brought it back, has its successor
 * at once too, which no process may have activated yet.
 * @throws {NotFound} @throws {Conflict} when the required standby is held.
 */
export function revokePlan(
  state: { keys: Keys; rejected: readonly { kid: string; fault: string }[]; now: number; policy: Policy },
  kid: string,
  reason: string,
): Step[] {
  const { keys, rejected, now, policy } = state
  if (rejected.some(row => row.kid === kid)) {
    const discard: Step = { type: 'discard', kid, reason }
    const areRevoked = rejected.every(({ fault }) => fault === 'revoked')
    return areRevoked ? [discard, ...duePlan(keys, now, policy, { activeIsRevoked: true })] : [discard]
  }
  const key = getKey(keys, kid)
  const steps: Step[] = [{ type: 'revoke', kid, reason }]
  const { alg } = key
  if (!inUse(key) || !publishedAlgs(policy).includes(alg)) return steps
  const { active, standby } = pairOf(alg, keys)
  if (key === active) {
    if (standby?.held)
      throw new Conflict('signing_key_held', `The standby key ${standby.kid} is held. Release it first.`)
    if (standby) steps.push({ type: 'activate', kid: standby.kid, activatesAt: now })
    // Without a standby, verifiers do not know the new key yet; continuing with the revoked one would be worse.
    else steps.push({ type: 'create', alg, state: 'active', activatesAt: now })
  }
  const since = key === active ? now : (active?.activatesAt ?? null)
  const held = key !== active && active?.held === true
  const activatesAt = held ? null : nextTurn({ publishedAt: now }, since, now, policy)
  return [...steps, { type: 'create', alg, state: 'standby', activatesAt }]
}

function getKey(keys: Keys, kid: string): SigningKey {
  const key = keys.find(candidate => candidate.kid === kid)
  if (!key) throw new NotFound('published signing key', kid)
  return key
}
