import type { ServerResponse } from 'node:http'
import { eventOf } from './request-context.ts'

/** On every answer of every listener; a route may say otherwise. */
export const FIXED_HEADERS = {
  'Cache-Control': 'no-store',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
} as const

/** Answers with JSON text, all headers in one piece. */
export function answerJson(
  res: ServerResponse,
  status: number,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  res.writeHead(status, {
    ...FIXED_HEADERS,
    'X-Request-Id': eventOf(res).requestId,
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
    ...headers,
  })
  res.end(body)
}

/** Tells that what the client has, named by its entity tag, is still what there is (RFC 9110 §15.4.5). */
export function answerNotModified(res: ServerResponse, headers: Readonly<Record<string, string>>): void {
  res.writeHead(304, { ...FIXED_HEADERS, 'X-Request-Id': eventOf(res).requestId, ...headers })
  res.end()
}

/** RFC 9110 §13.1.2, by weak comparison. */
export function namesEtag(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false
  return ifNoneMatch === '*' || ifNoneMatch.split(',').some(each => each.trim().replace(/^W\//, '') === etag)
}
