import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { UnexpectedProxies } from '../../src/http/unexpected-proxy.ts'
import { createLogger } from '../../src/system/logger.ts'
import { startTestService, type TestService } from '../support/test-service.ts'

const WARNING = 'a proxy that is not trusted forwards requests'
const forwarded = { 'x-forwarded-for': '203.0.113.7' }

let untrusting: TestService
let trusting: TestService
beforeAll(async () => {
  untrusting = await startTestService()
  trusting = await startTestService({ env: { MINTMARK_TRUSTED_PROXIES: '127.0.0.0/8,::1/128' } })
})
afterAll(() => Promise.all([untrusting.stop(), trusting.stop()]))

const jwks = ({ service }: TestService, headers: Record<string, string>) =>
  fetch(`${service.urls.public}/.well-known/jwks.json`, { headers })
const warnings = ({ logs }: TestService) => logs.filter(line => line.includes(WARNING))
const counted = async ({ service }: TestService) =>
  /mintmark_untrusted_proxy_requests_total (\d+)/.exec(
    await (await fetch(`${service.urls.ops}/metrics`)).text(),
  )?.[1]

describe('a proxy on a private address', () => {
  it('that is not trusted is logged once, with the cure, and each of its requests is counted', async () => {
    await jwks(untrusting, {})
    expect(warnings(untrusting)).toEqual([])
    expect(await counted(untrusting)).toBe('0')
    for (let count = 0; count < 3; count++) await jwks(untrusting, forwarded)
    expect(warnings(untrusting)).toHaveLength(1)
    expect(JSON.parse(warnings(untrusting)[0] ?? '')).toMatchObject({
      address: expect.stringMatching(/127\.0\.0\.1$/),
      msg: expect.stringContaining('MINTMARK_TRUSTED_PROXIES'),
    })
    expect(await counted(untrusting)).toBe('3')
  })

  it('that is trusted is not', async () => {
    await jwks(trusting, forwarded)
    expect(warnings(trusting)).toEqual([])
    expect(await counted(trusting)).toBe('0')
  })
})

describe('an address that no trusted network has', () => {
  it.each<[string, string, number, number]>([
    ['private, of the connection, is a proxy', '10.0.0.1', 0, 1],
    ['public, of a client that writes the header itself, is none', '8.8.8.8', 0, 0],
    ['public and of IPv6 is none', '2001:4860:4860::8888', 0, 0],
    ['private, behind a trusted proxy, is none', '10.0.0.1', 1, 0],
    ['that cannot be read is none', 'unknown', 0, 0],
  ])('%s', (_, address, hops, requests) => {
    const proxies = new UnexpectedProxies(createLogger('silent'))
    expect([proxies.watching(() => false)(address, hops), proxies.requests]).toEqual([false, requests])
  })
})
