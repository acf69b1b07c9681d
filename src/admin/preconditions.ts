import type { Request } from 'express'
import { type Precondition, requireVersion } from '../database/version.ts'
import { Invalid } from '../errors.ts'
import type { AdminAnswer } from './answer.ts'

/** Versions of objects on the wire: the ETag of an answer, and the headers of a request that name some. */

export type PreconditionHeader = 'If-Match' | 'If-None-Match'

const HEADERS = [
  ['If-Match', 'ifMatch'],
  ['If-None-Match', 'ifNoneMatch'],
] as const

/** For a route whose answer is one object, or that changes one. */
export const VERSIONED = { tellsVersion: true, preconditions: ['If-Match'] } as const
/** Where the version covers all that is answered, so that a client need not be told it again. */
export const REVALIDATED = { tellsVersion: true, preconditions: ['If-Match', 'If-None-Match'] } as const

export const etagOf = (version: string): string => `"${version}"`

/**
 * What a request demands of its object. A header that the operation does not take is refused, because whoever sends it
 * believes to be safe; where nothing is changed it is passed over. @throws {Invalid}
 */
export function preconditionOf(
  route: { method: string; preconditions?: readonly PreconditionHeader[] },
  req: Request,
): Precondition | undefined {
  const found: Precondition = {}
  for (const [header, member] of HEADERS) {
    const value = req.get(header)
    if (value === undefined) continue
    if (route.preconditions?.includes(header)) found[member] = versionsIn(header, value)
    else if (route.method !== 'get') throw refused(header, 'is not supported by this operation: remove it')
  }
  return Object.keys(found).length > 0 ? found : undefined
}

/** The answer to a GET under a precondition (RFC 9110 §13.2.2). @throws {PreconditionFailed} */
export function selected(answer: AdminAnswer, { ifMatch, ifNoneMatch }: Precondition): AdminAnswer {
  const { version } = answer
  if (version === undefined) return answer
  if (ifMatch !== undefined) requireVersion({ ifMatch }, version)
  const known = ifNoneMatch === '*' || ifNoneMatch?.includes(version)
  return known ? { status: 304, version } : answer
}

/** One entry of a list of entity tags, and what ends it: RFC 9110 §8.8.3, §5.6.1. */
const ENTRY = /[ \t]*(?:(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*)?(?:,|$)/y

/** @throws {Invalid} */
function versionsIn(header: PreconditionHeader, value: string): '*' | string[] {
  if (value.trim() === '*') return '*'
  const versions: string[] = []
  let named = false
  ENTRY.lastIndex = 0
  while (ENTRY.lastIndex < value.length) {
    const [entry, weak, tag] = ENTRY.exec(value) ?? []
    if (entry === undefined) throw refused(header, 'must be * or a list of ETags in double quotes')
    if (tag === undefined) continue
    named = true
    // §8.8.3.2: a weak tag matches nothing where the comparison is strong.
    if (weak === undefined || header === 'If-None-Match') versions.push(tag)
  }
  if (!named) throw refused(header, 'must be * or a list of ETags in double quotes')
  return versions
}

const refused = (header: PreconditionHeader, message: string) =>
  new Invalid([{ pointer: '', message: `Invalid header ${header}: it ${message}` }])
