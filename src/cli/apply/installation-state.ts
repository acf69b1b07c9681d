import { SET_KINDS, type SetKind } from '../../sets/set-object.ts'
import { type AdminClient, path } from '../admin-client.ts'
import { type Fields, KINDS } from './kinds.ts'

/** An object that belongs to a set, as the API shows it. */
export interface Member {
  set: string
  kind: SetKind
  id: string
  name: string
  created_by_set: boolean
}

/** What the installation has: objects by kind and id, and which of them belong to sets. */
export interface InstallationState {
  objects: Readonly<Record<SetKind, ReadonlyMap<string, Fields>>>
  members: readonly Member[]
  memberOf(kind: SetKind, id: string): Member | undefined
}

/** `tenants`: those whose keys are read; absent: those of all. */
export async function readState(
  admin: AdminClient,
  tenants?: ReadonlySet<string>,
): Promise<InstallationState> {
  const read = async (kind: SetKind) => {
    const list = await admin.list<Fields>(KINDS[kind].list)
    return new Map(list.map(object => [idOf(object), object]))
  }
  const [tier, model, adapter, tenant, provider, reporter] = await Promise.all([
    read('tier'),
    read('model'),
    read('adapter'),
    read('tenant'),
    read('identity-provider'),
    read('usage-reporter'),
  ])
  const key = tenants
    ? await keysOf(
        admin,
        [...tenants].filter(id => tenant.has(id)),
      )
    : await read('key')
  const members = await admin.list<Member>('/set-objects')
  const byObject = new Map(members.map(member => [`${member.kind} ${member.id}`, member]))
  return {
    objects: { tier, model, adapter, tenant, 'identity-provider': provider, 'usage-reporter': reporter, key },
    members: members.filter(({ kind }) => SET_KINDS.includes(kind)),
    memberOf: (kind, id) => byObject.get(`${kind} ${id}`),
  }
}

async function keysOf(admin: AdminClient, tenants: readonly string[]): Promise<Map<string, Fields>> {
  const keys = new Map<string, Fields>()
  for (const tenant of tenants) {
    for (const key of await admin.list<Fields>(path`/tenants/${tenant}/keys`)) keys.set(idOf(key), key)
  }
  return keys
}

const idOf = (object: Fields): string => object.id ?? object.name
