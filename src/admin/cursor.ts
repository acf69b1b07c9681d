import { Invalid } from '../errors.ts'

/** Which list a cursor goes on with. One of another list, tenant or filter is refused. */
export interface List {
  path: string
  /** Whose entries alone it has; left out: not one tenant's. */
  tenant?: string | null | undefined
  filter?: object
}

/** `place` is where the next page begins. */
export function writeCursor(list: List, place: string): string {
  return Buffer.from(JSON.stringify([...bindings(list), place])).toString('base64url')
}

/** The place that `writeCursor` was given. @throws {Invalid} that says what the cursor is of. */
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
