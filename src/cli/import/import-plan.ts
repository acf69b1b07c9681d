import type { Limits } from '../../tenants/limits.ts'
import type { Notes } from './notes.ts'

/** A tenant to create. Fields as in the admin API. */
export interface NewTenant {
  id: string
  name: string
  models: readonly string[] | null
  adapters: readonly string[]
  limits: Limits
  labels: Record<string, string>
}

/** An entry of `POST /admin/v1/imported-clients`. */
export interface ImportedClient {
  client_id: string
  tenant: string
  scheme: 'sha256'
  hash: string
  lookup: boolean
  disabled: boolean
  name: string
  models: readonly string[] | null
  adapters: readonly string[] | null
  limits: Limits
  /** RFC 3339; absent: the longest lifetime that is allowed. */
  expires_at?: string
  ends_at?: string
}

/** What is to be created of another system's tenants and keys, and what could not be mapped. */
export interface ImportPlan {
  tenants: readonly (NewTenant & { suspended: boolean })[]
  clients: readonly ImportedClient[]
  notes: Notes
}

/** A tenant that exists. */
export interface KnownTenant {
  id: string
  state: 'active' | 'suspended'
  labels: Record<string, string>
  models: readonly string[] | null
  adapters: readonly string[]
}

/** What Mintmark has, for the mapping. */
export interface Destination {
  models: ReadonlySet<string>
  adapters: ReadonlySet<string>
  tenants: readonly KnownTenant[]
  /** Of a key, by the policy. */
  longestLifetimeSeconds: number
  /** Of a tenant, by the policy. */
  mostLiveKeys: number
  /** Whether new tenants must have a contact. */
  contactRequired: boolean
  /** Epoch milliseconds. */
  now: number
}

/** A tenant's id that is like `text`; undefined: nothing of it can be in an id. */
export function idLike(text: string): string | undefined {
  const id = text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 63)
    .replace(/^-+|-+$/g, '')
  return id === '' ? undefined : id
}

/** The display name of the admin API: at most 200 characters, none of them a control character. */
export const nameLike = (text: string): string => text.replace(/\p{Cc}/gu, ' ').slice(0, 200)
