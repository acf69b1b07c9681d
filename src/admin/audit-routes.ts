import { z } from 'zod'
import type { AuditTrail } from '../audit/audit-trail.ts'
import { ok } from './answer.ts'
import { auditRowBody, checkpointBody } from './bodies/audit-body.ts'
import { page } from './bodies/wire.ts'
import type { Cursors } from './cursor.ts'
import * as field from './fields.ts'
import { pageBody, pageQuery, pageRequest } from './paging.ts'
import { type AdminRoute, route } from './route.ts'
import { shownAs } from './route-docs.ts'

const LIST = '/audit-events'
const EXPORT = '/audit-events/export'
const MOST_EXPORTED = 5_000

const name = z
  .string()
  .min(1, 'must not be empty')
  .max(200, 'must be at most 200 characters')
  .refine(text => !text.includes('\0'), 'must not contain a NUL character')
const filters = {
  actor: name
    .optional()
    .describe(
      'Only events of this caller: `root`, `system`, `unknown`, or the id of an admin token or a key.',
    ),
  action: name.optional().describe('Only events with this action, like `key.revoke`.'),
  target: name.optional().describe('Only events about the object with this id.'),
  tenant: name.optional().describe('Only events about this tenant and its objects.'),
  from: field.instant.optional().describe('Only events at or after this time.'),
  to: field.instant.optional().describe('Only events before this time.'),
}
const listQuery = z.strictObject({ ...pageQuery.shape, ...filters })
const exportQuery = z.strictObject({
  limit: z
    .string()
    .regex(/^([1-9]\d{0,2}|[1-4]\d{3}|5000)$/, `must be a whole number from 1 to ${MOST_EXPORTED}`)
    .transform(Number)
    .default(MOST_EXPORTED)
    .describe('Largest number of rows.')
    .register(shownAs, {
      schema: { type: 'integer', minimum: 1, maximum: MOST_EXPORTED, default: MOST_EXPORTED },
    }),
  cursor: z
    .string()
    .optional()
    .describe('Position where the export continues. The address in `Link` contains it.'),
  ...filters,
})

/** The audit trail: a list for reading, an export for verification, and a checkpoint to store elsewhere. */
export function auditRoutes(trail: AuditTrail, cursors: Cursors): AdminRoute[] {
  return [
    route({
      operation: 'listAuditEvents',
      summary: 'List audit events',
      answers: { 200: page(auditRowBody) },
      example: { query: { tenant: 'acme' } },
      method: 'get',
      path: LIST,
      right: 'audit:read',
      query: listQuery,
      handle: async ({ query: { limit, cursor, ...given } }) => {
        const filter = filterOf(given)
        const list = { path: LIST, filter }
        const page = await trail.list(filter, pageRequest(cursors, list, { limit, cursor }))
        return ok(pageBody(cursors, list, page, row => row))
      },
    }),
    route({
      operation: 'exportAuditEvents',
      summary: 'Export audit events',
      details:
        'Returns NDJSON, the oldest event first, which can be verified without the service (`mintmark audit verify`). The header `Link` has the address of the next part. Each export is recorded as an audit event.',
      answers: { 200: { line: auditRowBody } },
      example: { query: { limit: '100' } },
      method: 'get',
      path: EXPORT,
      right: 'audit:export',
      query: exportQuery,
      handle: async ({ actor, query: { limit, cursor, ...given } }) => {
        const filter = filterOf(given)
        const place = exportPlace(cursors, filter, cursor)
        const { rows, next, upTo } = await trail.export(actor, filter, { ...place, limit })
        const link = next === null ? undefined : nextLink(cursors, filter, limit, { after: next, upTo })
        return { status: 200, ndjson: rows, ...(link !== undefined && { headers: { Link: link } }) }
      },
    }),
    route({
      operation: 'getAuditCheckpoint',
      summary: 'Get a signed audit checkpoint',
      details:
        'Store the checkpoint where the owner of the database cannot change it. Later exports can then be verified against the checkpoint.',
      answers: { 200: checkpointBody },
      method: 'get',
      path: '/audit-checkpoint',
      right: 'audit:export',
      handle: async () => {
        const { jws, head, thumbprint } = await trail.checkpoint()
        return ok({ id: head.id, hash: head.hash, jws, key_thumbprint: thumbprint })
      },
    }),
  ]
}

type Filter = Parameters<AuditTrail['list']>[0]

function filterOf(given: z.output<z.ZodObject<typeof filters>>): Filter {
  return { ...given, from: given.from?.toISOString(), to: given.to?.toISOString() }
}

const queryOf = (filter: Filter) =>
  new URLSearchParams(Object.entries(filter).filter(([, value]) => value !== undefined) as [string, string][])

/** @throws {Invalid} */
function exportPlace(
  cursors: Cursors,
  filter: Filter,
  cursor: string | undefined,
): { after: number; upTo: number | undefined } {
  if (cursor === undefined) return { after: 0, upTo: undefined }
  const place = cursors.read({ path: EXPORT, filter }, cursor, /^\d{1,15}-\d{1,15}$/)
  const [after = 0, upTo = 0] = place.split('-').map(Number)
  return { after, upTo }
}

/** RFC 8288. Relative to the requested address. */
function nextLink(
  cursors: Cursors,
  filter: Filter,
  limit: number,
  place: { after: number; upTo: number },
): string {
  const query = queryOf(filter)
  query.set('limit', String(limit))
  query.set('cursor', cursors.write({ path: EXPORT, filter }, `${place.after}-${place.upTo}`))
  return `<?${query}>; rel="next"`
}
