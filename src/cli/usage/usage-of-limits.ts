import { type AdminClient, ApiError } from '../admin-client.ts'
import { printNotice, type View } from '../output.ts'

/** What a tenant used today (UTC) of the limits of its day; null: no limit. */
interface UsedOfLimits {
  tenant: string
  requests: number
  requests_per_day: number | null
  tokens: number
  tokens_per_day: number | null
}

interface Tenant {
  id: string
  tier: string
  limits: Limits
}
interface Limits {
  requests_per_day: number | null
  tokens_per_day: number | null
}
interface Used {
  tenant: string
  requests: number
  input_tokens: number
  output_tokens: number
}

const DAY_MS = 86_400_000

/**
 * By tenant, those with usage or a limit of a day. The limits that hold: the tenant's own, else its tier's. `now` in epoch
 * milliseconds.
 */
export async function usedOfLimits(
  admin: Pick<AdminClient, 'list'>,
  now: number,
  only: ReadonlySet<string> | undefined,
): Promise<UsedOfLimits[]> {
  const midnight = new Date(Math.floor(now / DAY_MS) * DAY_MS).toISOString()
  const tiers = new Map((await tiersOf(admin)).map(tier => [tier.name, tier.limits]))
  const filter = { from: midnight, group_by: 'tenant', ...(only && { tenant: [...only].join(',') }) }
  const used = new Map(
    (await admin.list<Used>('/usage', undefined, filter)).map(row => [row.tenant, row] as const),
  )
  const tenants = (await admin.list<Tenant>('/tenants')).filter(({ id }) => only?.has(id) ?? true)
  return tenants
    .map(({ id, tier, limits }) => {
      const row = used.get(id)
      const limit = (name: keyof Limits) => limits[name] ?? tiers.get(tier)?.[name] ?? null
      return {
        tenant: id,
        requests: row?.requests ?? 0,
        requests_per_day: limit('requests_per_day'),
        tokens: (row?.input_tokens ?? 0) + (row?.output_tokens ?? 0),
        tokens_per_day: limit('tokens_per_day'),
      }
    })
    .filter(row => used.has(row.tenant) || row.requests_per_day !== null || row.tokens_per_day !== null)
    .toSorted((a, b) => (a.tenant < b.tenant ? -1 : 1))
}

interface Tier {
  name: string
  limits: Limits
}

/** None for a tenant-admin, who sees the limits of the tenant itself. */
async function tiersOf(admin: Pick<AdminClient, 'list'>): Promise<Tier[]> {
  try {
    return await admin.list<Tier>('/tiers')
  } catch (error) {
    if (!(error instanceof ApiError && error.code === 'forbidden')) throw error
    printNotice('Limits of the tier are not included: this admin token may not read tiers.')
    return []
  }
}

const number = (value: number | null) => (value === null ? '-' : value.toLocaleString('en-US'))
const BAR_CELLS = 20

export const usedOfLimitsView: View<UsedOfLimits> = {
  plural: 'usage',
  id: row => row.tenant,
  columns: [
    { title: 'TENANT', of: row => row.tenant },
    { title: 'REQUESTS', of: row => number(row.requests) },
    { title: 'OF A DAY', of: row => number(row.requests_per_day) },
    { title: 'TOKENS', of: row => number(row.tokens) },
    { title: 'OF A DAY', of: row => number(row.tokens_per_day) },
    { title: 'USED', of: barOf, optional: true },
  ],
}

/** Of the limit of which the most is used. */
function barOf(row: UsedOfLimits): string {
  const shares = [
    [row.requests, row.requests_per_day],
    [row.tokens, row.tokens_per_day],
  ].flatMap(([used, limit]) => (limit ? [Number(used) / limit] : []))
  if (shares.length === 0) return ''
  const share = Math.min(1, Math.max(0, ...shares))
  const full = Math.round(share * BAR_CELLS)
  return `${'█'.repeat(full)}${'░'.repeat(BAR_CELLS - full)} ${Math.round(Math.max(...shares) * 100)} %`
}
