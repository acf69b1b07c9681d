import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { formatCredential, randomId } from '../../src/api-keys/api-key.ts'
import { systemRandom } from '../../src/system/random.ts'
import { rawHttp } from '../support/raw-http.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { halfSent } from './half-sent.ts'
import { scrape } from './metrics-text.ts'

let mintmark: TestService
let key: Awaited<ReturnType<TestService['tenantWithKey']>>
beforeAll(async () => {
  mintmark = await startTestService()
  key = await mintmark.tenantWithKey({ id: 'canary-tenant' })
})
afterAll(() => mintmark.stop())

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'M-SEARCH', 'BREW']

/** Requests with `mark` wherever a client may put text: different for each mark, and of the same kinds. */
async function barrage(mark: string): Promise<void> {
  const { urls } = mintmark.service
  const paths = [
    `/${mark}`,
    `/oauth/token/${mark}`,
    `/oauth/token?${mark}=${mark}`,
    `/.well-known/jwks/${mark}.pem`,
    `/.well-known/${mark}`,
    `/admin/v1/tenants/${mark}`,
    `/admin/v1/tenants/${mark}/keys`,
    `/admin/v1/keys/${mark}/secrets/${mark}/revoke`,
    `/admin/v1/${mark}`,
    `/%61dmin/v1/tenants/${mark}`,
    `//${mark}`,
    `/metrics/${mark}`,
    `/metrics?${mark}`,
    `http://${mark}/metrics`,
    `*`,
  ]
  const headers = `Host: ${mark}\r\nX-Forwarded-For: ${mark}\r\nUser-Agent: ${mark}\r\nConnection: close`
  const authorization = `Authorization: Bearer ${mintmark.rootToken}`
  for (const url of [urls.public, urls.admin, urls.ops]) {
    for (const path of paths) {
      for (const method of METHODS) {
        const head = `${method} ${path} HTTP/1.1\r\n${headers}\r\n`
        await rawHttp(url, `${head}${authorization}\r\n\r\n`)
      }
      await rawHttp(url, `GET ${path} HTTP/1.1\r\n${headers}\r\n\r\n`)
    }
  }
  const unknown = formatCredential('mmk', randomId(systemRandom), systemRandom)
  for (const secret of [key.secret, unknown, mark]) {
    for (const more of [{}, { client_id: mark }, { scope: mark }, { audience: mark }, { grant_type: mark }]) {
      await mintmark.token({ grant_type: 'client_credentials', client_secret: secret, ...more })
    }
  }
  await mintmark.tenantWithKey({ id: `t-${mark}`, name: mark })
  await mintmark.admin('PUT', `/models/${mark}`, {})
  await mintmark.admin('PUT', `/tiers/${mark}`, { priority: 1 })
}

/** From Node's parser, Express's patterns and our own lists: no client text matches, except these words. */
const CLOSED: Record<string, RegExp> = {
  listener: /^(public|admin|ops)$/,
  route: /^(unmatched|(\/(:?[a-z-]+|\.well-known|v1|:kid\.pem|jwks\.json))+)$/,
  status: /^[2-5]xx$/,
}

it('the number of series does not grow with what clients send, and none has their text', {
  timeout: 120_000,
}, async () => {
  const marks = Array.from({ length: 2 }, () => randomBytes(12).toString('hex'))
  const pages = []
  for (const mark of marks) {
    await barrage(mark)
    pages.push(await scrape(mintmark.service.urls.ops))
  }
  // Node's own series vary with its current activity: kinds of timers, of garbage collection.
  const own = (name: string) => name.startsWith('mintmark_')
  const [first, second] = pages.map(({ series }) => [...series.keys()].filter(own).sort())
  expect(second).toEqual(first)
  expect(first?.length).toBeLessThan(2_000)
  const text = pages.map(page => page.text).join()
  expect(text).toContain('route="unmatched"')
  expect(text).toContain('route="/admin/v1/tenants/:id"')
  const secrets = [...marks, key.tenantId, key.keyId, key.secretId, key.secret, mintmark.rootToken, 'ES256:']
  expect(secrets.filter(secret => text.includes(secret))).toEqual([])
})

it('the labels of requests have fixed values', async () => {
  const { series } = await scrape(mintmark.service.urls.ops)
  const requests = [...series.keys()].filter(name => name.startsWith('mintmark_http'))
  expect(requests.length).toBeGreaterThan(100)
  for (const [label, pattern] of Object.entries(CLOSED)) {
    const values = new Set(requests.map(name => new RegExp(`[{,]${label}="([^"]*)"`).exec(name)?.[1] ?? ''))
    expect([...values].filter(value => !pattern.test(value))).toEqual([])
  }
})

it('the same route has the same name in a success and in an error', async () => {
  await mintmark.admin('GET', `/tenants/${key.tenantId}`)
  await mintmark.admin('GET', '/tenants/nobody')
  const { series } = await scrape(mintmark.service.urls.ops)
  const route = 'listener="admin",route="/admin/v1/tenants/:id"'
  for (const status of ['2xx', '4xx']) {
    expect(
      series.get(`mintmark_http_request_duration_seconds_count{${route},status="${status}"}`),
    ).toBeGreaterThan(0)
  }
})

it('a request that the client aborted is counted, as 4xx', async () => {
  const aborted =
    'mintmark_http_request_duration_seconds_count{listener="public",route="/oauth/token",status="4xx"}'
  const read = async () => (await scrape(mintmark.service.urls.ops)).series.get(aborted) ?? 0
  const before = await read()
  const socket = await halfSent(mintmark.service.urls.public)
  socket.destroy()
  await expect.poll(read).toBe(before + 1)
})
