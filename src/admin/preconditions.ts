import type { Request } from 'express'
import { type Precondition, requireVersion } from '../database/version.ts'
import { Invalid } from '../errors.ts'
import type { AdminAnswer } from './answer.ts'

/** Versions of objects on the wire: the ETag of a response, and request headers with versions. */

export type PreconditionHeader = 'If-Match' | 'If-None-Match'

const HEADERS = [
  ['If-Match', 'ifMatch'],
  ['If-None-Match', 'ifNoneMatch'],
] as const

/** For a route that returns or changes one object. */
export const VERSIONED = { tellsVersion: true, preconditions: ['If-Match'] } as const
/** For an object whose version covers the whole response, so that a client may be answered 304. */
export const REVALIDATED = { tellsVersion: true, preconditions: ['If-Match', 'If-None-Match'] } as const

export const etagOf = (version: string): string => `"${version}"`

/**
 * The preconditions of a request. A header that the operation does not support is rejected, because the client relies
 * on it; for reads it is ignored. @throws {Invalid}
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

/** The response to a GET with preconditions (RFC 9110 §13.2.2). @throws {PreconditionFailed} */
export function selected(answer: AdminAnswer, { ifMatch, ifNoneMatch }: Precondition): AdminAnswer {
  const { version } = answer
  if (version === undefined) return answer
  if (ifMatch !== undefined) requireVersion({ ifMatch }, version)
  const known = ifNoneMatch === '*' || ifNoneMatch?.includes(version)
  return known ? { status: 304, version } : answer
}

/** One entry of a list of entity tags, and its separator: RFC 9110 §8.8.3, §5.6.1. */
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
    // §8.8.3.2: a weak tag never matches in a strong comparison.
    if (weak === undefined || header === 'If-None-Match') versions.push(tag)
  }
  if (!named) throw refused(header, 'must be * or a list of ETags in double quotes')
  return versions
}

const refused = (header: PreconditionHeader, message: string) =>
  new Invalid([{ pointer: '', message: `Invalid header ${header}: it ${message}` }])
