import {
  type Destination,
  type ImportedClient,
  type ImportPlan,
  idLike,
  type NewTenant,
  nameLike,
} from './import-plan.ts'
import { Notes } from './notes.ts'

/** A key in a file that another gateway exported. */
export interface ExportedKey {
  clientId: string
  name: string
  /** Its owner in the other system, which becomes a tenant; undefined: it has none. */
  owner: string | undefined
  /** SHA-256 of the key: 64 hex digits or base64. */
  hash: string
  disabled: boolean
  /** Epoch milliseconds. */
  expiresAt: number | undefined
  /** What has no counterpart: a code for each, with its text and what to do. */
  unmapped: readonly { code: string; message: string; cure: string }[]
}

/** The tenant of all keys; undefined: one for each owner. */
interface ExportOptions {
  tenant: string | undefined
  /** The label that a tenant of an owner has: `kong/consumer`. */
  label: string
}

const OWNER = 'Give the keys a tenant: --tenant <tenant>.'
const LONGER = 'Its imported secret ends after 180 days: replace it before (mintmark key rotate).'

/** Maps keys of an export to imported clients. They get all rights of their tenant. */
export function planExport(
  keys: readonly ExportedKey[],
  destination: Destination,
  { tenant, label }: ExportOptions,
): ImportPlan {
  const notes = new Notes()
  const tenants = new Map<string, NewTenant & { suspended: boolean }>()
  const taken = new Set(destination.tenants.map(({ id }) => id))
  const homeOf = (owner: string): string | undefined => {
    const known = destination.tenants.find(({ labels }) => labels[label] === nameLike(owner))
    if (known) return known.id
    const planned = tenants.get(owner)
    if (planned) return planned.id
    const id = idLike(owner)
    if (id === undefined || taken.has(id)) return undefined
    taken.add(id)
    const rights = { models: null, adapters: [], limits: {} }
    tenants.set(owner, {
      id,
      name: nameLike(owner),
      ...rights,
      labels: { [label]: nameLike(owner) },
      suspended: false,
    })
    return id
  }
  const clients = keys.flatMap((key): ImportedClient[] => {
    if (key.expiresAt !== undefined && key.expiresAt <= destination.now) {
      notes.add(
        'expired',
        key.name,
        'Not imported: the key has expired.',
        'Nothing: it is refused there as well.',
      )
      return []
    }
    const home = tenant ?? (key.owner === undefined ? undefined : homeOf(key.owner))
    if (home === undefined) {
      const message =
        key.owner === undefined
          ? 'Not imported: the key has no owner.'
          : 'Not imported: a tenant with the id of its owner exists already.'
      const cure =
        key.owner === undefined ? OWNER : `${OWNER} Or set the label ${label} of that tenant to the owner.`
      notes.add(key.owner === undefined ? 'no_owner' : 'tenant_exists', key.owner ?? key.name, message, cure)
      return []
    }
    for (const { code, message, cure } of key.unmapped) notes.add(code, key.name, message, cure)
    return [toClient(key, home, destination, notes)]
  })
  return { tenants: [...tenants.values()], clients, notes }
}

function toClient(key: ExportedKey, tenant: string, destination: Destination, notes: Notes): ImportedClient {
  const latest = destination.now + destination.longestLifetimeSeconds * 1000
  const ends = key.expiresAt !== undefined && key.expiresAt <= latest ? key.expiresAt : undefined
  if (ends === undefined)
    notes.add('no_end', key.name, 'The key ends after the longest lifetime that the policy allows.', LONGER)
  return {
    client_id: key.clientId,
    tenant,
    scheme: 'sha256',
    hash: key.hash,
    lookup: true,
    disabled: key.disabled,
    name: nameLike(key.name),
    models: null,
    adapters: null,
    limits: {},
    ...(ends !== undefined && { expires_at: new Date(ends).toISOString() }),
  }
}
