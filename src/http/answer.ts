import type { ServerResponse } from 'node:http'
import { eventOf } from './request-event.ts'

/** Set on every response of every listener; a route may override them. */
const FIXED_HEADERS = {
  'Cache-Control': 'no-store',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
} as const

/** Alternating names and values. Node writes such a list as it is; it would copy an object first. */
export type HeaderList = readonly string[]

/** The fixed headers merged with these, which win. Built once for all responses that share them. */
export const headerList = (headers: Readonly<Record<string, string>> = {}): HeaderList =>
  Object.entries({ ...FIXED_HEADERS, ...headers }).flat()

const FIXED = headerList()

/** For handlers that set headers one by one (Express): the request id and the fixed headers. */
export function setFixedHeaders(res: ServerResponse): void {
  res.setHeader('X-Request-Id', eventOf(res).requestId)
  for (const [name, value] of Object.entries(FIXED_HEADERS)) res.setHeader(name, value)
}

/** Answers with JSON text and all headers in one write. `headers` excludes those of the body. */
export function answerJson(
  res: ServerResponse,
  status: number,
  body: string,
  headers: HeaderList = FIXED,
): void {
  answerText(res, status, 'application/json; charset=utf-8', body, headers)
}

/** As `answerJson`, for text of another type; `contentType` declares the charset UTF-8. */
export function answerText(
  res: ServerResponse,
  status: number,
  contentType: string,
  body: string,
  headers: HeaderList,
): void {
  const bytes = Buffer.byteLength(body)
  const ofBody = ['Content-Type', contentType, 'Content-Length', String(bytes)]
  res.writeHead(status, ['X-Request-Id', eventOf(res).requestId, ...headers, ...ofBody])
  // ASCII is the same in both encodings, and latin1 is faster in Node.
  res.end(body, bytes > body.length ? 'utf8' : 'latin1')
}

/** Answers 304: the client has the current representation, by its entity tag (RFC 9110 §15.4.5). */
export function answerNotModified(res: ServerResponse, headers: HeaderList): void {
  res.writeHead(304, ['X-Request-Id', eventOf(res).requestId, ...headers])
  res.end()
}

/** RFC 9110 §13.1.2, by weak comparison. `etag` is undefined where the representation has none. */
export function namesEtag(ifNoneMatch: string | undefined, etag: string | undefined): boolean {
  if (ifNoneMatch === undefined) return false
  return ifNoneMatch === '*' || ifNoneMatch.split(',').some(each => each.trim().replace(/^W\//, '') === etag)
}
