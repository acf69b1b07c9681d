import { type DeclaredObject, nameOf } from './declared-set.ts'
import type { InstallationState, Member } from './installation-state.ts'
import { type Fields, KINDS } from './kinds.ts'

/** States of a key and of a usage reporter whose name is given to a new one. */
export const ENDED: readonly unknown[] = ['revoked', 'deleted']

export interface Located {
  live?: Fields
  member?: Member
  /** The id of an object of no set that becomes one of the set. */
  adopted?: string
  renamedFrom?: string
  /** The former key of this name. */
  ended?: Member
  fault?: string
  /** The other set that has the object. */
  inSet?: string
}

/** The object of the installation that a declaration is about. */
export function locate(object: DeclaredObject, mine: readonly Member[], state: InstallationState): Located {
  const { kind, name, document } = object
  const former = document.fields.renamed_from
  const own = mine.find(member => member.kind === kind && member.name === name)
  const renamed =
    !own && former !== undefined
      ? mine.find(member => member.kind === kind && member.name === nameOf(document, former))
      : undefined
  const member = own ?? renamed
  const live = member && state.objects[kind].get(member.id)
  if (live && member) {
    if (ENDED.includes(live.state)) return { ended: member }
    const fixed = KINDS[kind].fixed.find(field => live[field] !== document.fields[field])
    if (fixed !== undefined)
      return {
        fault: `${fixed} of the ${kind} "${name}" cannot be changed: declare another one, with another name.`,
      }
    return { live, member, ...(renamed && { renamedFrom: renamed.name }) }
  }
  return unowned(object, state, mine.length === 0)
}

/** `isNew`: the set has no object yet. */
function unowned(
  { kind, name, document }: DeclaredObject,
  state: InstallationState,
  isNew: boolean,
): Located {
  const same = [...state.objects[kind].entries()].filter(([id, live]) =>
    kind === 'key'
      ? live.tenant === document.fields.tenant &&
        live.name === document.fields.name &&
        live.state !== 'revoked'
      : kind === 'identity-provider'
        ? live.name === name && live.issuer === document.fields.issuer
        : kind === 'usage-reporter'
          ? live.name === name && live.state !== 'deleted'
          : id === name,
  )
  const free = same.filter(([id]) => state.memberOf(kind, id) === undefined)
  const [one, another] = free
  const other = same.map(([id]) => state.memberOf(kind, id)).find(member => member !== undefined)
  if (!one) {
    if (!other) return {}
    // These names need not be unique: those of other sets are not in the way, unless the set seems to be renamed.
    const isFree = kind === 'identity-provider' || kind === 'usage-reporter' || (kind === 'key' && !isNew)
    return { inSet: other.set, ...(!isFree && { fault: inAnotherSet(kind, name, other.set) }) }
  }
  if (another)
    return {
      fault: `${free.length} objects of no set have this name: ${free.map(([id]) => id).join(', ')}. Rename all but one.`,
    }
  return { live: one[1], adopted: one[0] }
}

const inAnotherSet = (kind: string, name: string, set = '') =>
  `the ${kind} "${name}" belongs to the set ${set}: it is not changed.`
