import { type RawBuilder, sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import { type Page, type PageRequest, toPage } from '../database/page.ts'
import { SPAN_BITS, walkSpans } from '../database/spans.ts'
import type { ApiKey } from './api-key.ts'
import { selectKeys, toApiKey } from './api-key-repository.ts'
import { LOOKUP_SCHEME } from './imported/lookup-secret.ts'
import type { KeyFilter } from './key-filter.ts'
import { isUsable, isUsableSecret } from './key-state-repository.ts'

/**
 * Newest first. Without a filter, or for one tenant or creator, in the order of an index; otherwise by spans
 * (database/spans.ts).
 */
export async function listApiKeys(
  db: Handle,
  filter: KeyFilter,
  { limit, after }: PageRequest,
): Promise<Page<ApiKey>> {
  const rows = await selectKeys(db)
    .where(isAmongFirst(filter, limit + 1, after))
    .$if(after !== null, query => query.where('seq', '<', after))
    .orderBy('seq', 'desc')
    .limit(limit + 1)
    .execute()
  return toPage(rows, limit, toApiKey)
}

/** Matches the newest `limit` matching keys after a position, and possibly other matching keys. */
export function isAmongFirst(filter: KeyFilter, limit: number, after: string | null): RawBuilder<boolean> {
  const { tenantId, createdBy: _maker, ...rest } = filter
  const bySpans = tenantId === undefined && Object.keys(rest).length > 0
  return bySpans ? sql<boolean>`seq IN (${placesBySpans(filter, limit, after)})` : matches(filter)
}

function placesBySpans(filter: KeyFilter, limit: number, after: string | null): RawBuilder<string> {
  const highest = after === null ? undefined : String(BigInt(after) - 1n)
  const conditions = (span: RawBuilder<bigint>) =>
    filter.label ? sql`${marked(filter.label, span)} AND ${matches(filter)}` : matches(filter)
  return walkSpans({ table: 'api_keys', place: 'seq', highest, order: 'DESC', conditions, limit })
}

/** In the form that the index has; hashes of different labels may collide, so `matches` checks the exact value. */
function marked(
  { name, value }: NonNullable<KeyFilter['label']>,
  span: RawBuilder<bigint>,
): RawBuilder<unknown> {
  const text = value === undefined ? name : `${name}=${value}`
  return sql`key_label_marks(labels, seq >> ${sql.lit(SPAN_BITS)}) @> ARRAY[hashtextextended(${text}, ${span})]`
}

/** For queries of api_keys. */
function matches(filter: KeyFilter): RawBuilder<boolean> {
  const {
    tenantId,
    label,
    createdBy,
    unrevoked,
    createdBefore,
    createdAfter,
    expiresBefore,
    unusedSince,
    imported,
    pepper,
  } = filter
  const conditions = [sql`true`]
  if (unrevoked) conditions.push(sql`revoked_at IS NULL`)
  if (tenantId !== undefined) conditions.push(sql`tenant_id = ${tenantId}`)
  if (label) {
    const { name, value } = label
    conditions.push(
      value === undefined
        ? sql`labels ? ${name}`
        : sql`labels @> ${JSON.stringify({ [name]: value })}::jsonb`,
    )
  }
  if (createdBy) {
    const [only, ...others] = createdBy
    conditions.push(others.length === 0 ? sql`created_by = ${only}` : sql`created_by = ANY(${createdBy})`)
  }
  if (createdBefore) conditions.push(sql`created_at < ${createdBefore}`)
  if (createdAfter) conditions.push(sql`created_at > ${createdAfter}`)
  if (expiresBefore) conditions.push(sql`expires_at < ${expiresBefore}`)
  if (unusedSince) {
    conditions.push(sql`last_used_on <= (${unusedSince}::timestamptz AT TIME ZONE 'UTC')::date
      AND created_at < ${unusedSince} AND NOT EXISTS (
        SELECT FROM api_key_secrets AS s WHERE s.key_id = api_keys.id AND s.last_used_at >= ${unusedSince})`)
  }
  if (imported) {
    const kind = imported === 'lookup' ? sql`s.scheme = ${LOOKUP_SCHEME}` : sql`s.client_id IS NOT NULL`
    conditions.push(sql`${isUsable('api_keys')} AND EXISTS (
      SELECT FROM api_key_secrets AS s WHERE s.key_id = api_keys.id AND ${kind} AND ${isUsableSecret('s')})`)
  }
  if (pepper !== undefined)
    conditions.push(sql`${isUsable('api_keys')} AND EXISTS (
      SELECT FROM api_key_secrets AS s
      WHERE s.key_id = api_keys.id AND s.pepper_id = ${pepper} AND ${isUsableSecret('s')})`)
  return sql<boolean>`${sql.join(conditions, sql` AND `)}`
}
