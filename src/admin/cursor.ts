import { Invalid } from '../errors.ts'

/** The list that a cursor continues. A cursor of another list, tenant or filter is rejected. */
export interface List {
  path: string
  /** The tenant of the list; absent: not limited to one. */
  tenant?: string | null | undefined
  filter?: object
}

/** `place` is the position where the next page begins. */
export function writeCursor(list: List, place: string): string {
  return Buffer.from(JSON.stringify([...bindings(list), place])).toString('base64url')
}

/** The position passed to `writeCursor`. @throws {Invalid} naming the list that the cursor belongs to. */
export function readCursor(list: List, cursor: string, form: RegExp): string {
  const given = parsed(cursor)
  const wanted = bindings(list)
  const place = given[wanted.length]
  if (place === undefined || !form.test(place))
    throw refused('is not a next_cursor of this API: send one from the previous page')
  const other = wanted.findIndex((text, index) => text !== given[index])
  if (other >= 0) throw refused(`belongs to another ${WHAT[other]}`)
  return place
}

const WHAT = ['list', 'tenant', 'filter: repeat the filter of the first page'] as const

const bindings = ({ path, tenant, filter }: List): string[] => [
  path,
  tenant ?? '',
  JSON.stringify(filter ?? {}),
]

function parsed(cursor: string): string[] {
  try {
    const value: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'))
    return Array.isArray(value) && value.every(each => typeof each === 'string') ? value : []
  } catch {
    return []
  }
}

const refused = (message: string) => new Invalid([{ pointer: '/cursor', message }])
