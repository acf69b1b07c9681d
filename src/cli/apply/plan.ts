import { type AdminClient, path } from '../admin-client.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import { credentialSteps } from './credential-steps.ts'
import { type DeclaredObject, type DeclaredSet, nameOf, ORDER } from './declared-set.ts'
import { type InstallationState, type Member, readState } from './installation-state.ts'
import { type Fields, KINDS } from './kinds.ts'
import { adoptStep, createStep, deleteStep, releaseStep, updateStep } from './object-steps.ts'
import { policyStep } from './policy-step.ts'
import { reporterSteps } from './reporter-steps.ts'
import type { Destination } from './secrets/destination.ts'
import { secretSteps } from './secrets/secret-steps.ts'
import type { Step } from './step.ts'

export interface PlanOptions {
  prune: boolean
  /** Names of keys, like `acme/ci`. */
  rotate: readonly string[]
  destinations: ReadonlyMap<string, Destination> | undefined
  nowMs: number
}

/** What has to be done so that the installation is as the files say, in the order in which it can be done. */
export interface Plan {
  set: string
  steps: readonly Step[]
  /** Declared objects that are as declared. */
  unchanged: number
  /** Objects of the set that the files do not have any more, and that stay without --prune. */
  left: readonly Member[]
  /** Keys and usage reporters whose secrets are not looked at without --write-secret. */
  secretsLeft: number
  /** Names of usage reporters that are not created, because there is no place for their secrets. */
  uncreated: readonly string[]
  /** Ids of identity providers and keys of the set, by kind and name. */
  ids: ReadonlyMap<string, string>
}

/** Reads only. @throws {CliError} with everything that keeps the plan from being carried out */
export async function makePlan(admin: AdminClient, set: DeclaredSet, options: PlanOptions): Promise<Plan> {
  const tenants = new Set(set.objects.flatMap(({ document }) => document.fields.tenant ?? []))
  const state = await readState(admin, await withTenantsOfMembers(admin, set.name, tenants))
  const mine = state.members.filter(member => member.set === set.name)
  const found = set.objects.map(object => ({ object, ...locate(object, mine, state) }))
  refuse(found.flatMap(({ object, fault }) => (fault ? `${object.document.at()}: ${fault}` : [])))
  const ids = new Map(mine.map(({ kind, name, id }) => [`${kind} ${name}`, id]))
  const providers = {
    id: (name: string) => ids.get(`identity-provider ${name}`),
    isDeclared: (name: string) =>
      set.objects.some(object => object.kind === 'identity-provider' && object.name === name),
  }
  const steps: Step[] = []
  let unchanged = 0
  if (set.policy) {
    const step = await policyStep(admin, set.policy)
    if (step) steps.push(step)
    else unchanged++
  }
  for (const { object, live, member, adopted, renamedFrom, ended } of found) {
    const before = steps.length
    if (ended) steps.push(releaseStep(ended, 'it has ended, so the name is given to a new one'))
    if (live && adopted !== undefined) steps.push(adoptStep(object, adopted))
    if (live && member && renamedFrom !== undefined) steps.push(adoptStep(object, member.id, renamedFrom))
    if (object.kind === 'usage-reporter') {
      const destination = options.destinations?.get(`usage-reporter ${object.name}`)
      steps.push(...(await reporterSteps(admin, { reporter: object, live, member, destination })))
    } else if (live) {
      const step = await updateStep(admin, object, live)
      if (step) steps.push(step)
      ids.set(`${object.kind} ${object.name}`, live.id ?? live.name)
    } else steps.push(createStep(object))
    if (object.kind === 'key') {
      steps.push(...(await credentialSteps(admin, object, live, providers)))
      const destination = options.destinations?.get(`key ${object.name}`)
      const rotate = options.rotate.includes(object.name)
      if (destination)
        steps.push(
          ...(await secretSteps(admin, { key: object, live, destination, rotate, nowMs: options.nowMs })),
        )
    }
    if (steps.length === before && !isUncreated(object, live)) unchanged++
  }
  const known = new Set(found.flatMap(({ member }) => (member ? [`${member.kind} ${member.id}`] : [])))
  const gone = mine.filter(
    member => !known.has(`${member.kind} ${member.id}`) && !found.some(({ ended }) => ended === member),
  )
  if (options.prune) steps.push(...(await pruneSteps(admin, gone, state)))
  const secretsLeft = options.destinations
    ? 0
    : set.objects.filter(({ document }) => document.fields.write_secret).length
  const uncreated = found
    .filter(
      ({ object, live }) =>
        isUncreated(object, live) && !options.destinations?.has(`usage-reporter ${object.name}`),
    )
    .map(({ object }) => object.name)
  return { set: set.name, steps, unchanged, left: options.prune ? [] : gone, secretsLeft, uncreated, ids }
}

const isUncreated = ({ kind }: DeclaredObject, live: Fields | undefined): boolean =>
  kind === 'usage-reporter' && !live

/** Keys are listed by tenant; those of the set may be of tenants that the files have no more. */
async function withTenantsOfMembers(
  admin: AdminClient,
  set: string,
  tenants: Set<string>,
): Promise<ReadonlySet<string>> {
  for (const { kind, name } of await admin.list<Member>('/set-objects', undefined, { set }))
    if (kind === 'key' || kind === 'tenant') tenants.add(name.split('/')[0] ?? '')
  return tenants
}

/** States of a key and of a usage reporter whose name is given to a new one. */
const ENDED: readonly unknown[] = ['revoked', 'deleted']

interface Located {
  live?: Fields
  member?: Member
  /** The id of an object of no set that becomes one of the set. */
  adopted?: string
  renamedFrom?: string
  /** The former key of this name. */
  ended?: Member
  fault?: string
}

/** The object of the installation that a declaration is about. */
function locate(object: DeclaredObject, mine: readonly Member[], state: InstallationState): Located {
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
  return unowned(object, state)
}

function unowned({ kind, name, document }: DeclaredObject, state: InstallationState): Located {
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
  // These names need not be unique: those of other sets are not in the way.
  if (!one && other && !['key', 'identity-provider', 'usage-reporter'].includes(kind))
    return { fault: `the ${kind} "${name}" belongs to the set ${other.set}: it is not changed.` }
  if (!one) return {}
  if (another)
    return {
      fault: `${free.length} objects of no set have this name: ${free.map(([id]) => id).join(', ')}. Rename all but one.`,
    }
  return { live: one[1], adopted: one[0] }
}

/** What the set made is deleted; what it adopted is released. */
async function pruneSteps(
  admin: AdminClient,
  gone: readonly Member[],
  state: InstallationState,
): Promise<Step[]> {
  const ordered = [...ORDER].reverse().flatMap(kind => gone.filter(member => member.kind === kind))
  refuse(ordered.filter(({ kind }) => kind === 'tenant').flatMap(tenant => keysInTheWay(tenant, gone, state)))
  const steps: Step[] = []
  for (const member of ordered) {
    if (ENDED.includes(state.objects[member.kind].get(member.id)?.state))
      steps.push(releaseStep(member, 'it has ended already'))
    else if (!member.made) steps.push(releaseStep(member, 'the set did not create it, so it stays'))
    else
      steps.push(withDependents(await deleteStep(admin, member), member, await dependentsOf(admin, member)))
  }
  return steps
}

function keysInTheWay({ id, made }: Member, gone: readonly Member[], state: InstallationState): string[] {
  if (!made) return []
  return [...state.objects.key.values()].flatMap(key => {
    if (key.tenant !== id || !['active', 'disabled'].includes(key.state)) return []
    if (gone.some(member => member.kind === 'key' && member.id === key.id)) return []
    const owner = state.memberOf('key', key.id)
    const of = owner ? `the set ${owner.set}` : 'no set'
    return `the tenant ${id} is not deleted: its key ${key.id} ("${key.name}") belongs to ${of}. Revoke it first.`
  })
}

interface Dependents {
  keys: number
  admin_tokens: number
}

async function dependentsOf(admin: AdminClient, { kind, id }: Member): Promise<Dependents | undefined> {
  if (kind !== 'tenant') return undefined
  const rehearsal = await admin.delete<{ would_delete: Dependents }>(
    `${path`/tenants/${id}`}?cascade=true&dry_run=true`,
  )
  return rehearsal.would_delete
}

function withDependents(step: Step, { id }: Member, dependents: Dependents | undefined): Step {
  if (!dependents) return step
  const { keys, admin_tokens: tokens } = dependents
  return {
    ...step,
    lasting: `its ${keys} keys and ${tokens} admin tokens are deleted with it, and the id "${id}" is never reused: another tenant cannot have it, nor can this one be renamed`,
  }
}

function refuse(faults: readonly string[]): void {
  if (faults.length > 0) throw new CliError(EXIT.conflict, 'nothing was changed:', faults)
}

/** Objects of no set that the plan would take over. */
export const adoptions = ({ steps }: Plan): Step[] => steps.filter(({ action }) => action === 'adopt')
