import { isDeepStrictEqual } from 'node:util'
import { type AdminClient, path } from '../admin-client.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import type { DeclaredObject } from './declared-set.ts'
import type { Member } from './installation-state.ts'
import { type Fields, KINDS } from './kinds.ts'
import { type Destination, secretIn } from './secrets/destination.ts'
import { reporterSecretSteps, writtenReporterSecret } from './secrets/reporter-secret-steps.ts'
import { forSet, type Run, type Step } from './step.ts'

interface Asked {
  reporter: DeclaredObject
  /** The reporter; absent: there is none. */
  live: Fields | undefined
  /** Absent: it belongs to no set yet. */
  member: Member | undefined
  /** Absent: secrets are not looked at. */
  destination: Destination | undefined
  /** `--rotate` names the reporter. */
  rotate: boolean
  nowMs: number
}

/**
 * What brings a usage reporter and its secret to where they belong. The service creates both at once, so none is created without a
 * place for its secret; a secret that is lost is rotated. Every state that an interrupted run can leave is among those that this
 * function continues from.
 * @throws {CliError} for audiences that cannot be changed, or something else in the place of the secret
 */
export async function reporterSteps(admin: AdminClient, asked: Asked): Promise<Step[]> {
  const { reporter, live, member, destination } = asked
  const changed =
    live && !isDeepStrictEqual(live.audiences.toSorted(), reporter.document.fields.audiences.toSorted())
  if (changed && !member?.created_by_set)
    throw fixed(reporter, 'It was not created by the set: declare another one, with another name.')
  if (changed && !destination)
    throw fixed(
      reporter,
      'Another one with another secret replaces it: add write_secret, and --write-secret.',
    )
  if (!destination) return []
  const found = await destination.find()
  const written = live && (await writtenReporterSecret(admin, secretIn(found), live.id))
  if (found.state === 'foreign' && !written)
    throw new CliError(
      EXIT.conflict,
      `${reporter.document.at('/write_secret')}: ${found.why}. It is not overwritten: remove it, or choose another place.`,
    )
  if (live && !changed) return reporterSecretSteps({ ...asked, live, destination, found, written })
  const created = createStep(reporter, destination)
  if (!live || !member) return [created]
  const { etag } = await admin.versioned<Fields>(KINDS['usage-reporter'].path(member.id))
  const { lasting, perform } = reporterDeletion(member, etag)
  const removed: Step = {
    ...{ action: 'delete', kind: 'usage-reporter', name: reporter.name, changes: [] },
    notes: ['its audiences cannot be changed: another one replaces it'],
    lasting,
    perform,
  }
  return [removed, created]
}

/** How a usage reporter of a set is deleted. Its row stays, because totals name it, so it is taken out of the set. */
export const reporterDeletion = ({ id, name }: Member, etag: string) => ({
  lasting: `reports with a secret of ${id} are rejected; its totals stay`,
  perform: async (run: Run): Promise<void> => {
    await run.admin.with(forSet(run, name, etag)).delete(KINDS['usage-reporter'].path(id))
    await run.admin.delete(`/set-objects?${new URLSearchParams({ kind: 'usage-reporter', id })}`)
  },
})

function createStep({ name, document }: DeclaredObject, destination: Destination): Step {
  const { audiences } = document.fields
  return {
    action: 'create',
    kind: 'usage-reporter',
    name,
    changes: [{ field: 'audiences', from: undefined, to: audiences }],
    notes: [`its secret is written to ${destination.title}`],
    document,
    perform: async run => {
      const admin = run.admin.with(forSet(run, name))
      const created = await admin.post<{ id: string; secret: string }>('/usage-reporters', {
        name,
        audiences,
      })
      try {
        await destination.write(created.secret)
      } catch (error) {
        // No one has the secret. Where this fails too, the next run rotates it.
        await admin.delete(path`/usage-reporters/${created.id}`).catch(() => {})
        throw error
      }
    },
  }
}

const fixed = ({ document, name }: DeclaredObject, cure: string) =>
  new CliError(
    EXIT.conflict,
    `${document.at('/audiences')}: audiences of the usage-reporter "${name}" cannot be changed. ${cure}`,
  )
