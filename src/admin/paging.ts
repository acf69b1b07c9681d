import { z } from 'zod'
import type { Page, PageRequest } from '../database/page.ts'
import { Invalid } from '../errors.ts'

const DEFAULT_LIMIT = 50

/** `?limit=1..100&cursor=…` */
export const pageQuery = z.strictObject({
  limit: z
    .string()
    .regex(/^([1-9]\d?|100)$/, 'must be a whole number from 1 to 100')
    .transform(Number)
    .default(DEFAULT_LIMIT),
  cursor: z.string().optional(),
})

type PageQuery = z.infer<typeof pageQuery>

/** A cursor is bound to the list that gave it: `list` is that list's own path. @throws {Invalid} */
export function pageRequest(list: string, { limit, cursor }: PageQuery): PageRequest {
  if (cursor === undefined) return { limit, after: null }
  const text = Buffer.from(cursor, 'base64url').toString('utf8')
  const [, from, after] = /^(.*)#(\d{1,18})$/.exec(text) ?? []
  if (from !== list || after === undefined) {
    throw new Invalid([{ pointer: '/cursor', message: 'must be the next_cursor of a page of this list' }])
  }
  return { limit, after }
}

/** The wire form of a page. */
export function pageBody<T>(list: string, page: Page<T>, map: (item: T) => object) {
  const cursor = page.next === null ? null : Buffer.from(`${list}#${page.next}`).toString('base64url')
  return { data: page.items.map(map), next_cursor: cursor }
}
