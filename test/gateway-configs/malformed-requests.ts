import { describe, expect, it } from 'vitest'
import { rawHttp } from '../support/raw-http.ts'
import type { Expected } from './check-contract.ts'
import type { CheckEnvironment } from './check-environment.ts'

const HEAD = 'POST /v1/chat/completions HTTP/1.1\r\nHost: inference.example.com\r\n'

/** What no gateway can read as a request, in which a client of HTTP/1.1 may go wrong all the same. */
const MALFORMED: [what: string, bytes: string][] = [
  ['no host', 'GET /v1/models HTTP/1.1\r\n\r\n'],
  ['a name with a space', `${HEAD}Bad Name: x\r\n\r\n`],
  ['two lengths', `${HEAD}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`],
  ['a transfer coding that nobody knows', `${HEAD}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
  ['a header of 70 kB', `${HEAD}Cookie: ${'a'.repeat(70_000)}\r\n\r\n`],
  ['150 headers', `${HEAD}${Array.from({ length: 150 }, (_, i) => `X-A${i}: a\r\n`).join('')}\r\n`],
]

/** SDKs repeat requests after these, and after all from 500 on. */
const REPEATED = [408, 409, 429]

/** The answers to requests that are rejected before anything of this product looks at them. */
export function checkMalformedRequests(
  name: string,
  expected: Expected,
  environment: () => CheckEnvironment,
): void {
  describe.skipIf(expected.absent || expected.explainsMalformed === false)(
    `${name} and malformed requests`,
    () => {
      it.each(MALFORMED)('answers %s in JSON, with a status that no client repeats', async (_, bytes) => {
        const { status, text } = await rawHttp(environment().gateway.url, bytes)
        expect(status).toBeGreaterThanOrEqual(400)
        expect(status).toBeLessThan(500)
        expect(REPEATED).not.toContain(status)
        expect(text.toLowerCase()).toContain('\r\ncontent-type: application/json')
        const body = text.slice(text.indexOf('\r\n\r\n') + 4)
        expect(JSON.parse(body)).toMatchObject({
          type: 'error',
          error: { message: expect.stringMatching(/./), type: expect.stringMatching(/_error$/) },
        })
        expect(environment().upstream.requests).toEqual([])
      })
    },
  )
}
