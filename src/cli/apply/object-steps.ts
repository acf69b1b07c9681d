import type { SetKind } from '../../sets/set-object.ts'
import { type AdminClient, path } from '../admin-client.ts'
import type { DeclaredObject } from './declared-set.ts'
import type { Member } from './installation-state.ts'
import { type Change, changesBetween, type Fields, KINDS, patchOf } from './kinds.ts'
import { reporterDeletion } from './reporter-steps.ts'
import { forSet, type Run, type Step } from './step.ts'

/** Kinds that PUT creates and replaces. */
const PUT: readonly SetKind[] = ['tier', 'model', 'adapter']
/** Settings that are actions of the API: which one sets true, and which one false. */
const ACTIONS: Record<string, readonly [on: string, off: string]> = {
  suspended: ['suspend', 'resume'],
  disabled: ['disable', 'enable'],
}

export function createStep({ kind, name, document }: DeclaredObject, notes: readonly string[] = []): Step {
  const wanted = KINDS[kind].wanted(document.fields)
  const changes = Object.keys(document.fields)
    .filter(field => field in wanted)
    .map(field => ({ field, from: undefined, to: wanted[field] }))
  return {
    action: 'create',
    kind,
    name,
    changes: changes.filter(({ to }) => !isEmpty(to)),
    notes,
    document,
    perform: async run => {
      const id = await create(run, kind, name, { ...document.fields, ...withoutActions(wanted) })
      run.ids.set(`${kind} ${name}`, id)
      for (const change of changes) if (change.to === true) await act(run, { kind, name, id }, change)
    },
  }
}

/** Not worth a line in a plan. */
const isEmpty = (value: unknown): boolean =>
  value === null ||
  value === false ||
  value === '' ||
  (typeof value === 'object' && Object.values(value as object).every(member => member === null))

const withoutActions = (fields: Fields): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([field]) => !(field in ACTIONS)))

/** Returns the id. */
async function create(run: Run, kind: SetKind, name: string, fields: Fields): Promise<string> {
  const admin = run.admin.with(forSet(run, name))
  if (PUT.includes(kind)) {
    const { name: id, ...body } = fields
    await run.admin.with({ ...forSet(run, name), 'if-none-match': '*' }).put(KINDS[kind].path(id), body)
    return id
  }
  if (kind === 'tenant') {
    const { suspended: _, ...body } = fields
    return (await admin.post<{ id: string }>('/tenants', body)).id
  }
  if (kind === 'identity-provider') {
    const { renamed_from: _, ...body } = fields
    return (await admin.post<{ id: string }>('/identity-providers', body)).id
  }
  // Without a secret: one is added when it can be written where it belongs.
  const { tenant, credentials: _c, write_secret: _w, renamed_from: _r, disabled: _d, ...body } = fields
  return (await admin.post<{ key: string }>(path`/tenants/${tenant}/workload-keys`, body)).key
}

/**
 * What changes an object so that it is as declared; undefined: nothing. The object is read again, so that the change applies
 * to this version of it only.
 */
export async function updateStep(
  admin: AdminClient,
  { kind, name, document }: DeclaredObject,
  live: Fields,
): Promise<Step | undefined> {
  const { path: pathOf, wanted: wantedOf, settings, list: _ } = KINDS[kind]
  const wanted = wantedOf(document.fields)
  if (changesBetween(settings(live), wanted).length === 0) return undefined
  const id: string = live.id ?? live.name
  const { object, etag } = await admin.versioned<Fields>(pathOf(id))
  const changes = changesBetween(settings(object), wanted)
  if (changes.length === 0) return undefined
  return {
    action: 'update',
    kind,
    name,
    changes,
    notes: [],
    document,
    perform: async run => {
      const plain = changes.filter(({ field }) => !(field in ACTIONS))
      const conditional = run.admin.with(forSet(run, name, etag))
      if (plain.length > 0) {
        if (PUT.includes(kind)) await conditional.put(pathOf(id), wanted)
        else await conditional.patch(pathOf(id), patchOf(plain))
      }
      for (const change of changes) if (change.field in ACTIONS) await act(run, { kind, name, id }, change)
    },
  }
}

/** Idempotent, so no version is named: a change of other settings came before it. */
async function act(
  run: Run,
  { kind, name, id }: { kind: SetKind; name: string; id: string },
  { field, to }: Change,
): Promise<void> {
  const [on, off] = ACTIONS[field] ?? ['', '']
  if (on !== '')
    await run.admin.with(forSet(run, name)).post(`${KINDS[kind].path(id)}/${to === true ? on : off}`)
}

export function adoptStep({ kind, name, document }: DeclaredObject, id: string, renamedFrom?: string): Step {
  return {
    action: renamedFrom === undefined ? 'adopt' : 'rename',
    kind,
    name,
    changes: renamedFrom === undefined ? [] : [{ field: 'name in the set', from: renamedFrom, to: name }],
    notes: renamedFrom === undefined ? ['it belongs to no set yet; --prune never deletes it'] : [],
    document,
    perform: async run => {
      await run.admin.post('/set-objects', { set: run.set, kind, id, name })
    },
  }
}

export function releaseStep({ kind, id, name }: Member, note: string): Step {
  return {
    action: 'release',
    kind,
    name,
    changes: [],
    notes: [note],
    perform: async run => {
      await run.admin.delete(`/set-objects?${new URLSearchParams({ kind, id })}`)
    },
  }
}

/** Deletes what the set created. A key is revoked, with its credentials deleted first, so that their providers can go. */
export async function deleteStep(admin: AdminClient, member: Member): Promise<Step> {
  const { kind, id, name } = member
  const { path: pathOf } = KINDS[kind]
  const { etag } = await admin.versioned<Fields>(pathOf(id))
  const step = { action: 'delete' as const, kind, name, changes: [], notes: [] as string[] }
  if (kind === 'key') {
    return {
      ...step,
      lasting: `${id} is revoked, with its secrets and issued tokens`,
      perform: async run => {
        const client = run.admin.with(forSet(run, name))
        const { data } = await run.admin.get<{ data: { id: string }[] }>(path`/keys/${id}/credentials`)
        for (const credential of data) await client.delete(path`/keys/${id}/credentials/${credential.id}`)
        // Deleted credentials are no part of the version of a key.
        await run.admin
          .with(forSet(run, name, etag))
          .post(path`/keys/${id}/revoke`, { reason: `removed from the set ${run.set}` })
        await run.admin.delete(`/set-objects?${new URLSearchParams({ kind, id })}`)
      },
    }
  }
  if (kind === 'usage-reporter') return { ...step, ...reporterDeletion(member, etag) }
  const lasting =
    kind === 'tenant'
      ? `its keys and admin tokens are deleted with it, and the id "${id}" is never reused`
      : undefined
  return {
    ...step,
    ...(lasting !== undefined && { lasting }),
    // Of a tenant without "cascade": keys that the set did not make are not deleted with it.
    perform: async run => void (await run.admin.with(forSet(run, name, etag)).delete(pathOf(id))),
  }
}
