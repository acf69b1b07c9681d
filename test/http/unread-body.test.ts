import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestService, type TestService } from '../support/test-service.ts'

/** The next request of a connection whose last one had a body that was not wanted. */

let service: TestService
beforeAll(async () => {
  service = await startTestService()
})
afterAll(() => service?.stop())

const announced = (bytes: number) => `Content-Length: ${bytes}\r\n\r\n${'x'.repeat(bytes)}`
const inChunks = (count: number) =>
  `Transfer-Encoding: chunked\r\n\r\n${`400\r\n${'x'.repeat(1_024)}\r\n`.repeat(count)}0\r\n\r\n`

/** Status lines of both answers. The second request is sent with the first. */
function statuses(url: string, first: string, second: string): Promise<string[]> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.write(`${first}GET ${second} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
  return new Promise((resolve, reject) => {
    let text = ''
    socket.setEncoding('latin1')
    socket.on('data', (part: string) => {
      text += part
    })
    socket.once('error', reject)
    socket.once('end', () => resolve(text.match(/(?<=HTTP\/1\.1 )\d{3}/g) ?? []))
  })
}

describe.each([
  ['70 KB', announced(70_000)],
  ['200 KB', announced(200_000)],
  ['1 MB', announced(1_000_000)],
  ['6 MB', announced(6_000_000)],
  ['100 KB in chunks', inChunks(100)],
])('after %s', (_, body) => {
  const post = (path: string) => `POST ${path} HTTP/1.1\r\nHost: x\r\n${body}`

  it('the token endpoint answers again', async () => {
    expect(
      await statuses(service.service.urls.public, post('/oauth/token'), '/.well-known/jwks.json'),
    ).toEqual([expect.stringMatching(/^4/), '200'])
  })

  it('the admin API answers again', async () => {
    expect(
      await statuses(service.service.urls.admin, post('/admin/v1/tenants'), '/admin/v1/openapi.json'),
    ).toEqual([expect.stringMatching(/^4/), expect.stringMatching(/^[24]/)])
  })

  it('the check answers again', async () => {
    expect(await statuses(service.service.urls.gateway, post('/check'), '/check')).toEqual(['401', '401'])
  })
})
