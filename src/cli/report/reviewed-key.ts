import { day, moment, type View } from '../output.ts'

/** A key of `GET /admin/v1/access-review`. */
export interface ReviewedKey {
  id: string
  name: string
  tenant: string
  tenant_name: string
  state: string
  contact: string | null
  escalation: string | null
  created_by: string | null
  created_at: string
  expires_at: string | null
  last_used_at: string | null
  usable_secrets: number
  tier: string | null
  scopes: string[]
  models: string[]
  adapters: string[]
  audiences: string[]
}

export const REVIEW_VIEW: View<ReviewedKey> = {
  plural: 'keys',
  id: key => key.id,
  columns: [
    { title: 'KEY', of: key => key.id },
    { title: 'TENANT', of: key => key.tenant, cut: true },
    { title: 'NAME', of: key => key.name, cut: true },
    { title: 'STATE', of: key => key.state, state: true },
    { title: 'CONTACT', of: key => key.contact ?? 'none', cut: true },
    { title: 'LAST USED', of: key => day(key.last_used_at, 'never') },
    { title: 'EXPIRES', of: key => day(key.expires_at, 'never') },
    { title: 'TIER', of: key => key.tier ?? '-', optional: true },
    { title: 'CREATED BY', of: key => key.created_by ?? '-', optional: true },
  ],
}

/** The columns of files: everything, under the names of the API. */
export const FIELDS: readonly (keyof ReviewedKey)[] = [
  'id',
  'name',
  'tenant',
  'tenant_name',
  'state',
  'contact',
  'escalation',
  'created_by',
  'created_at',
  'expires_at',
  'last_used_at',
  'usable_secrets',
  'tier',
  'scopes',
  'models',
  'adapters',
  'audiences',
]

/** A field as text: lists are separated by spaces, null is empty. */
export function textOf(key: ReviewedKey, field: keyof ReviewedKey): string {
  const value = key[field]
  return Array.isArray(value) ? value.join(' ') : moment(String(value ?? ''))
}
