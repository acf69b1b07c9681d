/** A request to the admin API, sent repeatedly. Several paths: in turn. */
export interface ListRequest {
  what: string
  method?: 'GET' | 'POST'
  paths: readonly string[]
  bodies?: readonly object[]
  /** Follows the cursor for this number of pages instead of requesting the first again. */
  pages?: number
}

const DAY = 86_400_000
const at = (days: number) => new Date(Date.now() + days * DAY).toISOString()
const list = (what: string, query: string, pages?: number): ListRequest => ({
  what,
  paths: [`/keys?${query}`],
  ...(pages && { pages }),
})
const audit = (what: string, query: string): ListRequest => ({ what, paths: [`/audit-events?${query}`] })

/**
 * Every list with every filter, with values that are common, rare, of old keys only and without matches; and the reads
 * of one key.
 */
export function listRequests(known: readonly string[]): ListRequest[] {
  const ids = known.map(key => `key_${key.slice(4, 20)}`)
  return [
    list('all keys', 'limit=100'),
    list('all keys, 200 pages of 100', 'limit=100', 200),
    list('a tenant', 'tenant=tenant-77'),
    list('the largest tenant, 100 pages', 'tenant=tenant-1&limit=100', 100),
    { what: 'a tenant, by its own path', paths: ['/tenants/tenant-77/keys'] },
    list('a label that most have', 'label=env=prod'),
    list('a label that most have, 100 pages', 'label=env=prod&limit=100', 100),
    list('a label of any value', 'label=team'),
    list('a label that one in 512 has', 'label=team=team-17'),
    list('a label that one in 512 has, 15 pages', 'label=team=team-17&limit=100', 15),
    list('a label of a week, a year ago', `label=week=${isoWeek(-365)}`),
    list('a label of old keys only', 'label=legacy'),
    list('a label that five have', 'label=incident=INC-1234'),
    list('a label that no key has', 'label=nobody'),
    list('made by one admin token', 'created_by=adm_0000000000000101'),
    list('made by root, 100 pages', 'created_by=root&limit=100', 100),
    list('made by no admin token', 'created_by=adm_0nobodynobodyno0'),
    list('made by root, of the largest tenant', 'created_by=root&tenant=tenant-1'),
    list(
      'made by one admin token, unused for 30 days',
      `created_by=adm_0000000000000101&unused_since=${at(-30)}`,
    ),
    list('made by root, a label that no key has', 'created_by=root&label=nobody'),
    list('expired or soon to be', `expires_before=${at(7)}`),
    list('expired or soon to be, 100 pages', `expires_before=${at(7)}&limit=100`, 100),
    list('expired long ago', `expires_before=${at(-640)}`),
    list('expired before there were any', `expires_before=${at(-3000)}`),
    list('unused for 30 days', `unused_since=${at(-30)}`),
    list('unused for 30 days, 100 pages', `unused_since=${at(-30)}&limit=100`, 100),
    list('unused for 650 days', `unused_since=${at(-650)}`),
    list('unused since before there were any', `unused_since=${at(-3000)}`),
    list('label and end', `label=env=dev&expires_before=${at(-600)}`),
    list('label, end and use', `label=team=team-17&expires_before=${at(30)}&unused_since=${at(-30)}`),
    list(
      'largest tenant, label, end and use',
      `tenant=tenant-1&label=legacy&expires_before=${at(0)}&unused_since=${at(-90)}`,
    ),
    list('largest tenant, a label that no key has', 'tenant=tenant-1&label=nobody'),
    list('largest tenant, unused since before', `tenant=tenant-1&unused_since=${at(-3000)}`),
    { what: 'tenants', paths: ['/tenants?limit=100'] },
    { what: 'tenants, 100 pages', paths: ['/tenants?limit=100'], pages: 100 },
    { what: 'admin tokens, 100 pages', paths: ['/admin-tokens?limit=100'], pages: 100 },
    { what: 'models, adapters and tiers', paths: ['/models', '/adapters?limit=100', '/tiers'] },
    audit('all audit events', 'limit=100'),
    audit('of root', 'actor=root&limit=100'),
    audit('of one admin token', 'actor=adm_0000000000000101'),
    audit('of an action that is common', 'action=key.create'),
    audit('of an action that is rare', 'action=tenant.delete'),
    audit('of a key', `target=${ids[3]}`),
    audit('of a tenant', 'tenant=tenant-77'),
    audit('until a year ago', `to=${at(-365)}`),
    audit('of a day, 600 days ago', `from=${at(-600)}&to=${at(-599)}`),
    audit('of root until a year ago', `actor=root&to=${at(-365)}`),
    audit('of a rare action until a year ago', `action=tenant.delete&to=${at(-365)}`),
    audit('before there were any', `to=${at(-3000)}`),
    { what: 'GET /keys/{id}', paths: ids.map(id => `/keys/${id}`) },
    { what: 'GET /tenants/{id}', paths: ids.map((_, n) => `/tenants/tenant-${n + 1}`) },
    { what: 'GET /keys/{id}/exchanges', paths: ids.map(id => `/keys/${id}/exchanges`) },
    {
      what: 'POST /keys/inspect',
      method: 'POST',
      paths: ['/keys/inspect'],
      bodies: known.map(key => ({ key })),
    },
  ]
}

/** As to_char(…, 'IYYY-IW') formats it. */
function isoWeek(days: number): string {
  const day = new Date(Date.now() + days * DAY)
  day.setUTCDate(day.getUTCDate() + 4 - (day.getUTCDay() || 7))
  const week = Math.ceil(((day.getTime() - Date.UTC(day.getUTCFullYear(), 0, 1)) / DAY + 1) / 7)
  return `${day.getUTCFullYear()}-${String(week).padStart(2, '0')}`
}
