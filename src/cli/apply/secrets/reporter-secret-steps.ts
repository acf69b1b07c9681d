import { type AdminClient, path } from '../../admin-client.ts'
import { CliError, EXIT } from '../../exit-codes.ts'
import { moment } from '../../output.ts'
import type { DeclaredObject } from '../declared-set.ts'
import type { Fields } from '../kinds.ts'
import { forSet, type Step } from '../step.ts'
import type { Destination, Found } from './destination.ts'
import { secondsOf } from './secret-steps.ts'

/** What the service knows about the secret that is in its place. */
export interface WrittenSecret {
  /** When it ends, or ended; null: it is the newest one. */
  secret_ends_at: string | null
}

interface Asked {
  reporter: DeclaredObject
  live: Fields
  destination: Destination
  found: Found
  written: WrittenSecret | undefined
  /** `--rotate` names the reporter. */
  rotate: boolean
  nowMs: number
}

/** A secret of this reporter; undefined: of no reporter, or of another one. */
export async function writtenReporterSecret(
  admin: AdminClient,
  secret: string,
  id: string,
): Promise<WrittenSecret | undefined> {
  if (secret === '' || secret.length > 1_000) return undefined
  const inspected = await admin.post<WrittenSecret & { usage_reporter: { id: string } | null }>(
    '/usage-reporters/inspect',
    { secret },
  )
  return inspected.usage_reporter?.id === id ? inspected : undefined
}

/**
 * What brings the newest secret of a reporter to its place. If a run ends between the rotation and the writing, the place has the secret
 * before: it stays valid, and the newest one, which no one has, is replaced. @throws {CliError} while the last rotation is not over
 */
export function reporterSecretSteps(asked: Asked): Step[] {
  const { reporter, live, destination, found, written, rotate, nowMs } = asked
  const { title } = destination
  const ends = written?.secret_ends_at ?? null
  const older: string | null = live.older_secret_ends_at
  const hasTwo = older !== null && Date.parse(older) > nowMs
  if (!written || (ends !== null && Date.parse(ends) <= nowMs))
    return [
      issueStep(asked, 'write secret of', 'oldest', [
        found.state === 'absent' ? `${title} does not exist` : `${title} has no valid secret of the reporter`,
        ...(hasTwo ? [`the oldest secret, valid until ${moment(older)}, ends at once`] : []),
      ]),
    ]
  if (ends !== null)
    return [
      issueStep(asked, 'write secret of', 'newest', [
        `${title} has the secret before the newest one, valid until ${moment(ends)}`,
        `the newest one, ${live.secret_id}, is revoked`,
      ]),
    ]
  if (!rotate) return []
  if (hasTwo)
    throw new CliError(
      EXIT.conflict,
      `the last rotation of the usage reporter ${reporter.name} is not over: its previous secret is valid until ${moment(older)}. Wait.`,
    )
  return [issueStep(asked, 'rotate secret of', null, ['asked for with --rotate'])]
}

/** `replace`: which secret ends at once if two are valid. */
function issueStep(
  { reporter, live, destination }: Asked,
  action: 'write secret of' | 'rotate secret of',
  replace: 'oldest' | 'newest' | null,
  why: readonly string[],
): Step {
  const { overlap } = reporter.document.fields.write_secret
  return {
    ...{ action, kind: 'usage-reporter', name: reporter.name, changes: [], document: reporter.document },
    notes: [...why, `written to ${destination.title}`, `the previous secret stays valid for ${overlap}`],
    perform: async run => {
      const admin = run.admin.with(forSet(run, reporter.name))
      const issued = await admin.post<{ secret: string; older_secret_ends_at: string }>(
        path`/usage-reporters/${live.id}/rotate`,
        { overlap_seconds: secondsOf(overlap), replace },
      )
      try {
        await destination.write(issued.secret)
      } catch (error) {
        if (!(error instanceof CliError)) throw error
        const until = moment(issued.older_secret_ends_at)
        const advice = `The new secret is nowhere. The previous one is accepted until ${until}: run the command again before that.`
        throw new CliError(error.exitCode, error.message, [...error.details, advice])
      }
    },
  }
}
