import type { ServerResponse } from 'node:http'
import { eventOf } from './request-context.ts'

/** On every answer of every listener; a route may say otherwise. */
export const FIXED_HEADERS = {
  'Cache-Control': 'no-store',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
} as const

/** Names and values in turn. Node writes such a list as it is; an object of headers it would copy first. */
export type HeaderList = readonly string[]

/** The fixed headers and these, which win: made once for all answers that have the same. */
export const headerList = (headers: Readonly<Record<string, string>> = {}): HeaderList =>
  Object.entries({ ...FIXED_HEADERS, ...headers }).flat()

const FIXED = headerList()

/** Answers with JSON text, all headers in one piece. `headers` are all but what is said of the body. */
export function answerJson(
  res: ServerResponse,
  status: number,
  body: string,
  headers: HeaderList = FIXED,
): void {
  const bytes = Buffer.byteLength(body)
  const ofBody = ['Content-Type', 'application/json; charset=utf-8', 'Content-Length', String(bytes)]
  res.writeHead(status, ['X-Request-Id', eventOf(res).requestId, ...headers, ...ofBody])
  // Text of ASCII alone is the same in both, and Node has less to do for the second.
  res.end(body, bytes > body.length ? 'utf8' : 'latin1')
}

/** Tells that what the client has, named by its entity tag, is still what there is (RFC 9110 §15.4.5). */
export function answerNotModified(res: ServerResponse, headers: HeaderList): void {
  res.writeHead(304, ['X-Request-Id', eventOf(res).requestId, ...headers])
  res.end()
}

/** RFC 9110 §13.1.2, by weak comparison. */
export function namesEtag(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false
  return ifNoneMatch === '*' || ifNoneMatch.split(',').some(each => each.trim().replace(/^W\//, '') === etag)
}
