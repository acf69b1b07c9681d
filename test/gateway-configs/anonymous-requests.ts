import { connect } from 'node:net'
import { expect } from 'vitest'
import { scrape } from '../observability/metrics-text.ts'
import type { TestService } from '../support/test-service.ts'
import { send } from './client.ts'

const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
/** Without a signature that verifies. */
const FORGED = [part({ alg: 'RS256', typ: 'at+jwt' }), part({ tenant: 'acme', sub: 'key_1' }), 'AAAA'].join(
  '.',
)

/** What anyone can send to a gateway, without a token that verifies; each is refused. */
export async function sendAnonymousRequests(url: string): Promise<void> {
  const refused: Parameters<typeof send>[1][] = [
    { path: '/x' },
    { path: '/x', token: FORGED },
    {},
    { token: 'nonsense' },
    { token: FORGED },
    { headers: [['x-api-key', 'nonsense']] },
  ]
  for (const each of refused) expect((await send(url, each)).status).toBeGreaterThanOrEqual(400)
  expect(await malformed(url)).toMatch(/^HTTP\/1\.1 400 /)
}

/** The answer to what is no HTTP. */
function malformed(url: string): Promise<string> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    let answer = ''
    const socket = connect(Number(port), hostname, () =>
      socket.write('POST /x HTTP/1.1\r\nno header\r\n\r\n'),
    )
    socket.on('data', data => {
      answer += data
      socket.end()
    })
    socket.once('error', reject)
    socket.once('close', () => resolve(answer))
  })
}

/** How many records this Mintmark has ignored or rejected, by result. */
export async function notCounted({ service }: TestService): Promise<Record<string, number>> {
  const { series } = await scrape(service.urls.ops)
  const found: Record<string, number> = {}
  for (const [id, value] of series) {
    const [, result] = /^mintmark_usage_records_total\{result="(ignored|rejected_\w+)"\}$/.exec(id) ?? []
    if (result !== undefined && value > 0) found[result] = value
  }
  return found
}
