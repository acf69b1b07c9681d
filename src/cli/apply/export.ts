import { stringify } from 'yaml'
import { declarableFields } from '../../admin/sets/declarations.ts'
import type { SetKind } from '../../sets/set-object.ts'
import { type AdminClient, path } from '../admin-client.ts'
import { ORDER } from './declared-set.ts'
import { type InstallationState, readState } from './installation-state.ts'
import { changesBetween, type Fields, KINDS } from './kinds.ts'

interface Exported {
  kind: SetKind
  /** The own name of a key, without its tenant. */
  name: string
  live: Fields
}

/** The documents of a set, or of all objects, in the order in which they can be created. `only`: the objects of this set. */
export async function exportText(
  admin: AdminClient,
  { only, name }: { only: string | undefined; name: string },
): Promise<string> {
  const state = await readState(admin)
  const documents: Fields[] = [{ resource: 'set', name }]
  if (only === undefined) documents.push(await policyDocument(admin))
  const objects = ORDER.flatMap(kind => exported(kind, state, only))
  const providers = new Map(
    objects.filter(({ kind }) => kind === 'identity-provider').map(({ live, name: own }) => [live.id, own]),
  )
  for (const object of objects) documents.push(await documentOf(admin, object, providers))
  return documents.map(document => stringify(document, { lineWidth: 0 })).join('---\n')
}

/** Oldest first, as they were created. Keys that have ended are left out. */
function exported(kind: SetKind, state: InstallationState, only: string | undefined): Exported[] {
  const taken = new Set<string>()
  return [...state.objects[kind]].toReversed().flatMap(([id, live]) => {
    const member = state.memberOf(kind, id)
    if (
      (only !== undefined && member?.set !== only) ||
      ['revoked', 'expired', 'deleted'].includes(live.state)
    )
      return []
    const own = member?.set === only && member ? member.name : undefined
    const scope = kind === 'key' ? `${live.tenant}/` : ''
    const name = own?.slice(scope.length) ?? uniqueName(live, scope, taken)
    taken.add(scope + name)
    return [{ kind, name, live }]
  })
}

/** Names of keys, identity providers and usage reporters may be empty, or the same: then the id is their name. */
function uniqueName(live: Fields, scope: string, taken: ReadonlySet<string>): string {
  const name: string = live.name ?? ''
  return name === '' || taken.has(scope + name) ? live.id : name
}

async function documentOf(
  admin: AdminClient,
  { kind, name, live }: Exported,
  providers: ReadonlyMap<string, string>,
): Promise<Fields> {
  const kindOf = KINDS[kind]
  const identity: Fields =
    kind === 'tenant' ? { id: live.id } : kind === 'key' ? { tenant: live.tenant, name } : { name }
  const settings = { ...kindOf.settings(live), ...(kind === 'tenant' ? {} : { name }) }
  // What is not a default; what has no known default is always there.
  const defaults = {
    ...kindOf.wanted(identity),
    ...(kind === 'tenant' && { allowed_tiers: [live.tier] }),
  }
  const own = changesBetween(defaults, settings).map(({ field, to }) => [field, withoutNulls(field, to)])
  const always = kind === 'key' && live.expires_at === null ? [['expires_at', null]] : []
  const document = { resource: kind, ...identity, ...Object.fromEntries([...own, ...always]), ...identity }
  if (kind !== 'key') return document
  const credentials = await credentialsOf(admin, live.id, providers)
  return { ...document, ...(credentials.length > 0 && { credentials }) }
}

const withoutNulls = (field: string, value: unknown): unknown =>
  field === 'limits'
    ? Object.fromEntries(Object.entries(value as object).filter(([, limit]) => limit !== null))
    : value

async function credentialsOf(
  admin: AdminClient,
  key: string,
  providers: ReadonlyMap<string, string>,
): Promise<Fields[]> {
  const { data } = await admin.get<{ data: Fields[] }>(path`/keys/${key}/credentials`)
  return data.toReversed().map(credential => {
    const { type, provider, subject, claims, allow_untrusted_events: events } = credential
    const { jwks, single_use: singleUse } = credential
    if (type === 'public_key')
      return { type, jwks, ...(singleUse !== 'replica' && { single_use: singleUse }) }
    return {
      type,
      provider: providers.get(provider) ?? provider,
      ...(subject !== null && { subject }),
      ...(Object.keys(claims).length > 0 && { claims }),
      ...(events && { allow_untrusted_events: events }),
    }
  })
}

async function policyDocument(admin: AdminClient): Promise<Fields> {
  const { policy } = await admin.get<{ policy: Fields }>('/installation')
  const settings = Object.entries(policy).filter(([name]) => declarableFields('policy').includes(name))
  return { resource: 'policy', ...Object.fromEntries(settings) }
}
