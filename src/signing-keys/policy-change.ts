import { fieldChanges } from '../audit/audit-event.ts'
import {
  MOST_PUBLISHED_KEYS,
  rotationFaults,
  SHORTEST_PUBLISH_LEAD_SECONDS,
} from '../config/rotation-policy.ts'
import type { SigningAlg } from '../config/signing-alg.ts'
import { Conflict, escapePointer, type Fault, Invalid } from '../errors.ts'
import { updatePolicy } from '../installation/installation-policy.ts'
import { type Policy, publishedAlgs } from '../installation/policy.ts'
import { certain, type Decision, type RotationState } from './key-change.ts'
import { duePlan, reschedulePlan } from './rotation.ts'

/** The fields to change. In `audienceSigningAlgs` null removes an entry (RFC 7396); null instead of it removes all. */
export interface PolicyChange {
  signingAlg?: SigningAlg
  /** Every algorithm to publish keys for. */
  signingAlgs?: readonly SigningAlg[]
  audienceSigningAlgs?: Readonly<Record<string, SigningAlg | null>> | null
  rotationIntervalSeconds?: number
  publishLeadSeconds?: number
  maxKeyLifetimeSeconds?: number
  unendingKeysAllowed?: boolean
  maxLiveKeysPerTenant?: number
  tenantWritesPerMinute?: number
  usageDedupSeconds?: number
  usageRetentionDays?: number
  contactRequired?: boolean
}

/**
 * A new policy and the resulting steps: keys of a removed algorithm retire, keys of a new one are published, and
 * standbys are rescheduled.
 *
 * @throws {Invalid} for inconsistent values. @throws {Conflict} where the chosen algorithm cannot sign yet.
 */
export function decidePolicy(
  { keys, crowded, now, policy: before }: RotationState,
  change: PolicyChange,
  limits: { shortPublishLeadAllowed: boolean },
): Decision<Policy> {
  const after = changed(before, change)
  const faults = [...algFaults(after, change), ...timeFaults(before, after, limits)]
  if (faults.length > 0)
    throw new Invalid(faults.map(fault => ({ ...fault, pointer: `/policy${fault.pointer}` })))
  refuseUnready(keys, before, after)
  refuseCrowd(keys, before, after)
  const changes = fieldChanges(before, after)
  if (Object.keys(changes).length === 0) return { result: before, steps: [] }
  return {
    result: after,
    steps: [...certain({ crowded }, duePlan(keys, now, after)), ...reschedulePlan(keys, now, after)],
    also: async ({ trx, record }) => {
      const id = await updatePolicy(trx, after)
      const event = {
        action: 'installation.update' as const,
        targetKind: 'installation',
        targetId: id,
        changes,
      }
      record(event, { kind: 'installation', id })
    },
  }
}

function changed(before: Policy, change: PolicyChange): Policy {
  const { signingAlgs, audienceSigningAlgs, ...fields } = change
  const signingAlg = change.signingAlg ?? before.signingAlg
  const published = signingAlgs ?? publishedAlgs(before)
  const kept = audienceSigningAlgs === null ? {} : before.audienceSigningAlgs
  const choices = Object.entries({ ...kept, ...audienceSigningAlgs })
  return {
    ...before,
    ...fields,
    signingAlg,
    otherSigningAlgs: published.filter(alg => alg !== signingAlg),
    audienceSigningAlgs: Object.fromEntries(
      choices.filter((choice): choice is [string, SigningAlg] => choice[1] !== null),
    ),
  }
}

/** A chosen algorithm must be published before and after this change. */
function algFaults(after: Policy, { signingAlg, signingAlgs }: PolicyChange): Fault[] {
  const faults: Fault[] = []
  if (signingAlgs && !signingAlgs.includes(after.signingAlg)) {
    faults.push({
      pointer: '/signing_algs',
      message: `must contain the default algorithm, ${after.signingAlg}`,
    })
  }
  const published = signingAlgs ?? publishedAlgs({ ...after, signingAlg: signingAlg ?? after.signingAlg })
  for (const [audience, alg] of Object.entries(after.audienceSigningAlgs)) {
    if (!published.includes(alg)) {
      const pointer = `/audience_signing_algs/${escapePointer(audience)}`
      faults.push({ pointer, message: `must be one of signing_algs, and ${alg} is not` })
    }
  }
  return faults
}

function timeFaults(before: Policy, after: Policy, limits: { shortPublishLeadAllowed: boolean }): Fault[] {
  const faults = rotationFaults(after, publishedAlgs(after).length)
  const shortened = after.publishLeadSeconds < before.publishLeadSeconds
  if (
    shortened &&
    after.publishLeadSeconds < SHORTEST_PUBLISH_LEAD_SECONDS &&
    !limits.shortPublishLeadAllowed
  ) {
    const message = `must be at least ${SHORTEST_PUBLISH_LEAD_SECONDS}, because istiod fetches the JWKS only that often after a failure; if none of your verifiers does, set MINTMARK_SHORT_PUBLISH_LEAD=allowed`
    faults.push({ pointer: '/publish_lead_seconds', message })
  }
  return faults
}

/**
 * An algorithm is published first and selected later, when verifiers have had the publish lead to see its key. @throws
 * {Conflict}
 */
function refuseUnready(keys: RotationState['keys'], before: Policy, after: Policy): void {
  const chosen = new Set([after.signingAlg, ...Object.values(after.audienceSigningAlgs)])
  const chosenBefore = new Set([before.signingAlg, ...Object.values(before.audienceSigningAlgs)])
  for (const alg of chosen) {
    if (chosenBefore.has(alg) || keys.some(key => key.alg === alg && key.state === 'active')) continue
    const standby = keys.find(key => key.alg === alg && key.state === 'standby')
    const when =
      standby?.activatesAt == null
        ? `Add it to signing_algs first, and select it ${after.publishLeadSeconds} s later.`
        : `Its key can sign from ${new Date(standby.activatesAt).toISOString()}: select it then.`
    throw new Conflict('signing_alg_not_ready', `Verifiers do not know a key for ${alg} yet. ${when}`)
  }
}

/** Retiring keys count until they are removed. @throws {Conflict} */
function refuseCrowd(keys: RotationState['keys'], before: Policy, after: Policy): void {
  const added = publishedAlgs(after).filter(alg => !publishedAlgs(before).includes(alg))
  if (added.length === 0 || keys.length + 2 * added.length <= MOST_PUBLISHED_KEYS) return
  throw new Conflict(
    'too_many_signing_keys',
    `${keys.length} keys are published, verifiers accept ${MOST_PUBLISHED_KEYS}, and an algorithm needs two. Wait until retiring keys are removed.`,
  )
}
