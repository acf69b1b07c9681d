import type { RequestHandler } from 'express'
import { Forbidden, Invalid } from '../../errors.ts'
import type { UsageGroup, UsageRow } from '../../usage/usage-report.ts'
import type { UsageReports } from '../../usage/usage-reports.ts'
import type { Admin } from '../admin-auth.ts'
import { mayDo } from '../rights-table.ts'

/**
 * Usage in the shape of OpenAI's `GET /v1/organization/usage/completions`, for tools that read it: a tenant is a project, a
 * key an API key. Without buckets of a minute, users, batches and service tiers.
 */
export const OPENAI_USAGE_PATH = '/v1/organization/usage/completions'

const WIDTHS = {
  '1h': { unit: 'hour', seconds: 3_600, usual: 24, most: 168 },
  '1d': { unit: 'day', seconds: 86_400, usual: 7, most: 31 },
} as const

const GROUPS: Readonly<Record<string, UsageGroup>> = {
  project_id: 'tenant',
  api_key_id: 'key',
  model: 'model',
}
/** Lists may have `[]` behind their name. A filter that is not here would be ignored, so it is rejected. */
const LISTS = ['group_by', 'project_ids', 'api_key_ids', 'models']
const PARAMETERS = new Set([
  ...['start_time', 'end_time', 'bucket_width', 'limit', 'page'],
  ...LISTS.flatMap(name => [name, `${name}[]`]),
])
const MOST_ROWS = 20_000
const MOST_NAMES = 50

interface Asked {
  width: (typeof WIDTHS)[keyof typeof WIDTHS]
  /** Epoch seconds: of the first bucket, and behind the last. */
  begin: number
  end: number
  hasMore: boolean
  groups: UsageGroup[]
  tenant: string[] | undefined
  key: string[] | undefined
  model: string[] | undefined
}

/** `res.locals.admin` is the caller. @throws {Forbidden} @throws {Invalid} @throws {Unavailable} */
export function openAiUsage(services: {
  usage: { reports: UsageReports; now: () => number }
}): RequestHandler {
  return async (req, res) => {
    const admin: Admin = res.locals.admin
    if (!mayDo(admin.role, 'usage:read'))
      throw new Forbidden('Missing right: usage:read. Use a token with a role that has it.')
    const { reports, now } = services.usage
    const asked = readQuery(req.query as Record<string, string | string[]>, now())
    const { width, begin, end, groups } = asked
    const own = admin.tenantId
    const tenant = own === null ? asked.tenant : (asked.tenant ?? [own]).filter(id => id === own)
    const { rows, next } = await reports.read(
      {
        groups: new Set([...groups, width.unit]),
        from: new Date(begin * 1000),
        to: new Date(end * 1000),
        timeZone: 'UTC',
        tenant,
        key: asked.key,
        model: asked.model,
      },
      { limit: MOST_ROWS, after: null },
    )
    if (next) throw invalid('limit', 'is too large: ask for fewer buckets')
    const byStart = Map.groupBy(rows, row => row.start.getTime() / 1000)
    const data = []
    for (let start = begin; start < end; start += width.seconds)
      data.push({
        object: 'bucket',
        start_time: start,
        end_time: start + width.seconds,
        results: (byStart.get(start) ?? []).map(toResult),
      })
    res.json({ object: 'page', data, has_more: asked.hasMore, next_page: asked.hasMore ? String(end) : null })
  }
}

function readQuery(query: Record<string, string | string[]>, now: number): Asked {
  const unknown = Object.keys(query).find(name => !PARAMETERS.has(name))
  if (unknown !== undefined) throw invalid(unknown, 'is not supported here')
  const one = (name: string) => {
    const value = query[name]
    return typeof value === 'string' ? value : undefined
  }
  const seconds = (name: string, usual: number | undefined) => {
    const text = one(name)
    if (text === undefined && usual !== undefined) return usual
    if (!/^\d{1,10}$/.test(text ?? '')) throw invalid(name, 'must be a time in seconds since 1970')
    return Number(text)
  }
  const width = WIDTHS[(one('bucket_width') ?? '1d') as keyof typeof WIDTHS]
  if (!width) throw invalid('bucket_width', 'must be 1h or 1d: totals are kept by hour')
  const start = seconds('page', seconds('start_time', undefined))
  const last = seconds('end_time', Math.ceil(now / 1000))
  const limit = Number(one('limit') ?? width.usual)
  if (!(Number.isInteger(limit) && limit >= 1 && limit <= width.most))
    throw invalid('limit', `must be a whole number from 1 to ${width.most}`)
  const begin = Math.floor(start / width.seconds) * width.seconds
  const end = Math.min(begin + limit * width.seconds, Math.ceil(last / width.seconds) * width.seconds)
  const groups = (listIn(query, 'group_by') ?? []).map(name => {
    const group = GROUPS[name]
    if (!group) throw invalid('group_by', `must be of ${Object.keys(GROUPS).join(', ')}`)
    return group
  })
  return {
    width,
    begin,
    end,
    hasMore: end < last,
    groups,
    tenant: listIn(query, 'project_ids'),
    key: listIn(query, 'api_key_ids'),
    model: listIn(query, 'models'),
  }
}

/** Clients write a list as `name=a&name=b` or as `name[]=a&name[]=b`. */
function listIn(query: Record<string, string | string[]>, name: string): string[] | undefined {
  const list = [query[name] ?? [], query[`${name}[]`] ?? []].flat()
  if (list.length === 0) return undefined
  if (list.length > MOST_NAMES || list.some(text => text.includes('\0')))
    throw invalid(name, `must have at most ${MOST_NAMES} names`)
  return list
}

const invalid = (name: string, message: string) => new Invalid([{ pointer: `/${name}`, message }])

const toResult = (row: UsageRow) => ({
  object: 'organization.usage.completions.result',
  input_tokens: row.inputTokens,
  output_tokens: row.outputTokens,
  input_cached_tokens: row.cachedInputTokens,
  input_audio_tokens: 0,
  output_audio_tokens: 0,
  num_model_requests: row.requests,
  project_id: row.tenant || null,
  user_id: null,
  api_key_id: row.key || null,
  model: row.model || null,
  batch: null,
  service_tier: null,
})
