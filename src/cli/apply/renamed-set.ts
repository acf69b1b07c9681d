import { CliError, EXIT } from '../exit-codes.ts'
import type { InstallationState, Member } from './installation-state.ts'
import type { Step } from './step.ts'

/**
 * The installation as it is after `--rename-set`, and the step that does it; none when it was done before.
 * @throws {CliError} when the former set has no object, or both have some
 */
export function withRenamedSet(
  state: InstallationState,
  from: string | undefined,
  to: string,
): { state: InstallationState; step?: Step } {
  if (from === undefined) return { state }
  if (from === to)
    throw new CliError(EXIT.usage, `--rename-set ${from}: the files declare this name. Change it there.`)
  const has = (set: string) => state.members.some(member => member.set === set)
  if (!has(from)) {
    if (has(to)) return { state }
    throw new CliError(
      EXIT.notFound,
      `--rename-set: there is no set "${from}" with objects. Nothing was changed.`,
    )
  }
  if (has(to))
    throw new CliError(
      EXIT.conflict,
      `--rename-set: the sets "${from}" and "${to}" both have objects. Nothing was changed.`,
      [`To move single objects: release them from "${from}", then apply with --adopt.`],
    )
  const renamed = (member: Member): Member => (member.set === from ? { ...member, set: to } : member)
  return {
    state: {
      ...state,
      members: state.members.map(renamed),
      memberOf: (kind, id) => {
        const member = state.memberOf(kind, id)
        return member && renamed(member)
      },
    },
    step: {
      action: 'rename',
      kind: 'set',
      name: to,
      changes: [{ field: 'name', from, to }],
      notes: ['its objects stay in it'],
      perform: async run => void (await run.admin.post('/set-objects/rename', { from, to })),
    },
  }
}

/** A line for each set that the files may have had before. */
export function curesOfRenamedSet(name: string, found: readonly { inSet?: string }[]): string[] {
  const sets = [...new Set(found.flatMap(({ inSet }) => inSet ?? []))]
  return sets.map(set => `If the set ${set} is called ${name} now: --rename-set ${set}`)
}
