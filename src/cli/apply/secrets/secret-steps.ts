import { type AdminClient, path } from '../../admin-client.ts'
import { CliError, EXIT } from '../../exit-codes.ts'
import { moment } from '../../output.ts'
import type { DeclaredObject } from '../declared-set.ts'
import type { Fields } from '../kinds.ts'
import { forSet, type Run, type Step } from '../step.ts'
import { type Destination, secretIn } from './destination.ts'

/** A secret that was written and not confirmed is known to its clients within a day, or revoked. */
const CONFIRM_WITHIN_SECONDS = 86_400

interface Asked {
  key: DeclaredObject
  /** The key; absent: it is created before. */
  live: Fields | undefined
  destination: Destination
  /** `--rotate` names the key. */
  rotate: boolean
  nowMs: number
}

interface Inspected {
  key: { id: string } | null
  secret_id: string | null
}

/**
 * What brings the secret of a key to where it belongs. What the place has is compared with the service: the secret itself says
 * which one it is. Every state that an interrupted run can leave is among those that this function continues from.
 * @throws {CliError} when something else is in its place
 */
export async function secretSteps(admin: AdminClient, asked: Asked): Promise<Step[]> {
  const { key, live, destination, nowMs } = asked
  const found = await destination.find()
  const usable = ((live?.secrets ?? []) as Fields[]).filter(({ state }) => ['live', 'ending'].includes(state))
  const written = await writtenSecret(admin, secretIn(found), live, usable)
  if (found.state === 'foreign' && !written)
    throw new CliError(
      EXIT.conflict,
      `${key.document.at('/write_secret')}: ${found.why}. It is not overwritten: remove it, or choose another place.`,
    )
  const unwritten = usable.filter(secret => secret.confirm_by !== null && secret !== written)
  const revocations = unwritten.map(secret => revokeStep(asked, secret))
  const left = usable.filter(secret => !unwritten.includes(secret))
  if (!written) {
    const why =
      found.state === 'absent'
        ? `${destination.title} does not exist`
        : `${destination.title} has no valid secret of the key`
    return [...revocations, issueStep(asked, 'write secret of', left, why)]
  }
  if (written.confirm_by !== null) return [...revocations, confirmStep(asked, written)]
  const due = rotationDue(asked, written)
  if (due === undefined) return revocations
  const overlap = left.find(secret => secret !== written && secret.state === 'ending')
  if (overlap && !asked.rotate) return revocations
  if (overlap)
    throw new CliError(
      EXIT.conflict,
      `the last rotation of ${key.name} is not over: its previous secret is valid until ${moment(overlap.ends_at)}. Revoke it, or wait.`,
    )
  return [...revocations, issueStep(asked, 'rotate secret of', left, due)]

  function rotationDue({ rotate }: Asked, secret: Fields): string | undefined {
    if (rotate) return 'asked for with --rotate'
    const { rotate_every: every } = key.document.fields.write_secret
    if (every === undefined || Date.parse(secret.created_at) + secondsOf(every) * 1000 > nowMs)
      return undefined
    return `rotate_every: ${every}; the secret is of ${moment(secret.created_at)}`
  }
}

/** The usable secret of the key that is in its place; undefined: its content is none. */
async function writtenSecret(
  admin: AdminClient,
  secret: string,
  live: Fields | undefined,
  usable: readonly Fields[],
): Promise<Fields | undefined> {
  if (!live || secret === '' || secret.length > 1_000) return undefined
  const inspected = await admin.post<Inspected>('/keys/inspect', { key: secret })
  if (inspected.key?.id !== live.id) return undefined
  return usable.find(({ id }) => id === inspected.secret_id)
}

const idOf = (run: Run, { key, live }: Asked): string => live?.id ?? run.ids.get(`key ${key.name}`) ?? ''

function issueStep(
  asked: Asked,
  action: 'write secret of' | 'rotate secret of',
  left: readonly Fields[],
  why: string,
): Step {
  const { key, destination } = asked
  const overlap: string = key.document.fields.write_secret.overlap
  const goOn =
    left.length > 0 ? [`the previous secret stays valid for ${overlap} after the new one is written`] : []
  return {
    ...stepOf(asked, action),
    notes: [why, `written to ${destination.title}`, ...goOn],
    perform: async run => {
      const id = idOf(run, asked)
      const admin = run.admin.with(forSet(run, key.name))
      const issued = await admin.post<{ secret: string; secret_id: string }>(path`/keys/${id}/rotate`, {
        overlap_seconds: secondsOf(overlap),
        confirm_within_seconds: CONFIRM_WITHIN_SECONDS,
        ...(left.length > 1 && { replace: 'oldest' }),
      })
      const secretPath = path`/keys/${id}/secrets/${issued.secret_id}`
      try {
        await destination.write(issued.secret)
      } catch (error) {
        // No client has it. Where this fails too, the next run does it, or the service after a day.
        await admin.post(`${secretPath}/revoke`).catch(() => {})
        throw error
      }
      await admin.post(`${secretPath}/confirm`)
    },
  }
}

function confirmStep(asked: Asked, secret: Fields): Step {
  const { overlap } = asked.key.document.fields.write_secret
  return {
    ...stepOf(asked, 'confirm secret of'),
    notes: [
      `it is in ${asked.destination.title}`,
      `a previous secret stays valid for ${overlap} from now on`,
    ],
    perform: async run => {
      const admin = run.admin.with(forSet(run, asked.key.name))
      await admin.post(path`/keys/${idOf(run, asked)}/secrets/${secret.id}/confirm`)
    },
  }
}

function revokeStep(asked: Asked, secret: Fields): Step {
  return {
    ...stepOf(asked, 'revoke secret of'),
    notes: [
      `${secret.id} was created by a run that was interrupted, and is not in ${asked.destination.title}`,
    ],
    perform: async run => {
      const admin = run.admin.with(forSet(run, asked.key.name))
      await admin.post(path`/keys/${idOf(run, asked)}/secrets/${secret.id}/revoke`)
    },
  }
}

const stepOf = ({ key }: Asked, action: Step['action']) => ({
  action,
  kind: 'key',
  name: key.name,
  changes: [],
  document: key.document,
})

const UNITS: Record<string, number> = { s: 1, m: 60, h: 3_600, d: 86_400 }
/** `90d`, as the schema of declarations has it. */
export const secondsOf = (duration: string): number =>
  Number(duration.slice(0, -1)) * (UNITS[duration.slice(-1)] ?? 1)
