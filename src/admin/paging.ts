import { z } from 'zod'
import type { Page, PageRequest } from '../database/page.ts'
import type { Cursors, List } from './cursor.ts'
import { shownAs } from './route-docs.ts'

const DEFAULT_LIMIT = 50

/** `?limit=1..100&cursor=…` */
export const pageQuery = z.strictObject({
  limit: z
    .string()
    .regex(/^([1-9]\d?|100)$/, 'must be a whole number from 1 to 100')
    .transform(Number)
    .default(DEFAULT_LIMIT)
    .describe('Largest number of objects on the page.')
    .register(shownAs, { schema: { type: 'integer', minimum: 1, maximum: 100, default: DEFAULT_LIMIT } }),
  cursor: z
    .string()
    .optional()
    .describe('`next_cursor` of the previous page. Send it with the same filters.'),
})

type PageQuery = z.infer<typeof pageQuery>

/** @throws {Invalid} for the cursor of another list. */
export function pageRequest(cursors: Cursors, list: List, { limit, cursor }: PageQuery): PageRequest {
  return { limit, after: cursor === undefined ? null : cursors.read(list, cursor, /^\d{1,19}$/) }
}

/** The wire form of a page. */
export function pageBody<T>(cursors: Cursors, list: List, page: Page<T>, map: (item: T) => object) {
  const cursor = page.next === null ? null : cursors.write(list, page.next)
  return { data: page.items.map(map), next_cursor: cursor }
}
