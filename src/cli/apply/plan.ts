import { type AdminClient, path } from '../admin-client.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import { credentialSteps } from './credential-steps.ts'
import { type DeclaredObject, type DeclaredSet, ORDER } from './declared-set.ts'
import { type InstallationState, type Member, readState } from './installation-state.ts'
import type { Fields } from './kinds.ts'
import { ENDED, locate } from './located.ts'
import { adoptStep, createStep, deleteStep, releaseStep, updateStep } from './object-steps.ts'
import { policyStep } from './policy-step.ts'
import { curesOfRenamedSet, withRenamedSet } from './renamed-set.ts'
import { reporterSteps } from './reporter-steps.ts'
import type { Destination } from './secrets/destination.ts'
import { rotationName } from './secrets/destinations.ts'
import { secretSteps } from './secrets/secret-steps.ts'
import type { Step } from './step.ts'

export interface PlanOptions {
  prune: boolean
  /** Keys and usage reporters, like `acme/ci` and `usage_reporters/envoy`. */
  rotate: readonly string[]
  destinations: ReadonlyMap<string, Destination> | undefined
  nowMs: number
  /** The former name of the set. */
  renamedFrom?: string | undefined
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
  const { renamedFrom: former } = options
  await withTenantsOfMembers(admin, set.name, tenants)
  if (former !== undefined) await withTenantsOfMembers(admin, former, tenants)
  const { state, step: renaming } = withRenamedSet(await readState(admin, tenants), former, set.name)
  const mine = state.members.filter(member => member.set === set.name)
  const found = set.objects.map(object => ({ object, ...locate(object, mine, state) }))
  refuse(
    found.flatMap(({ object, fault }) => (fault ? `${object.document.at()}: ${fault}` : [])),
    mine.length === 0 ? curesOfRenamedSet(set.name, found) : [],
  )
  const ids = new Map(mine.map(({ kind, name, id }) => [`${kind} ${name}`, id]))
  const providers = {
    id: (name: string) => ids.get(`identity-provider ${name}`),
    isDeclared: (name: string) =>
      set.objects.some(object => object.kind === 'identity-provider' && object.name === name),
  }
  const steps: Step[] = renaming ? [renaming] : []
  let unchanged = 0
  if (set.policy) {
    const step = await policyStep(admin, set.policy)
    if (step) steps.push(step)
    else unchanged++
  }
  for (const { object, live, member, adopted, renamedFrom, ended, inSet } of found) {
    const before = steps.length
    const rotate = options.rotate.includes(rotationName(object))
    if (ended) steps.push(releaseStep(ended, 'it has ended, so the name is given to a new one'))
    if (live && adopted !== undefined) steps.push(adoptStep(object, adopted))
    if (live && member && renamedFrom !== undefined) steps.push(adoptStep(object, member.id, renamedFrom))
    if (object.kind === 'usage-reporter') {
      const destination = options.destinations?.get(`usage-reporter ${object.name}`)
      const asked = { reporter: object, live, member, destination, rotate, nowMs: options.nowMs }
      steps.push(...(await reporterSteps(admin, asked)))
    } else if (live) {
      const step = await updateStep(admin, object, live)
      if (step) steps.push(step)
      ids.set(`${object.kind} ${object.name}`, live.id ?? live.name)
    } else steps.push(createStep(object))
    if (object.kind === 'key') {
      steps.push(...(await credentialSteps(admin, object, live, providers)))
      const destination = options.destinations?.get(`key ${object.name}`)
      if (destination)
        steps.push(
          ...(await secretSteps(admin, { key: object, live, destination, rotate, nowMs: options.nowMs })),
        )
    }
    // Its name may be given twice, so it is created; but not silently.
    if (mine.length === 0 && inSet !== undefined)
      steps.push(
        ...steps.splice(before).map(step => withNote(step, curesOfRenamedSet(set.name, [{ inSet }]))),
      )
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

const withNote = (step: Step, notes: readonly string[]): Step => ({
  ...step,
  notes: [...step.notes, ...notes],
})

const isUncreated = ({ kind }: DeclaredObject, live: Fields | undefined): boolean =>
  kind === 'usage-reporter' && !live

/** Keys are listed by tenant; those of the set may be of tenants that the files have no more. */
async function withTenantsOfMembers(admin: AdminClient, set: string, tenants: Set<string>): Promise<void> {
  for (const { kind, name } of await admin.list<Member>('/set-objects', undefined, { set }))
    if (kind === 'key' || kind === 'tenant') tenants.add(name.split('/')[0] ?? '')
}

/** What the set created is deleted; what it adopted is released. */
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
    else if (!member.created_by_set) steps.push(releaseStep(member, 'the set did not create it, so it stays'))
    else
      steps.push(withDependents(await deleteStep(admin, member), member, await dependentsOf(admin, member)))
  }
  return steps
}

function keysInTheWay(
  { id, created_by_set }: Member,
  gone: readonly Member[],
  state: InstallationState,
): string[] {
  if (!created_by_set) return []
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

function refuse(faults: readonly string[], cures: readonly string[] = []): void {
  if (faults.length > 0) throw new CliError(EXIT.conflict, 'nothing was changed:', [...faults, ...cures])
}

/** Objects of no set that the plan would take over. */
export const adoptions = ({ steps }: Plan): Step[] => steps.filter(({ action }) => action === 'adopt')
