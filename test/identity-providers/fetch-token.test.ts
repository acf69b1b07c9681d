import { randomBytes } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FetchTokens } from '../../src/identity-providers/fetching/fetch-tokens.ts'
import { systemRandom } from '../../src/system/random.ts'
import { Secret } from '../../src/system/secret.ts'
import { scrape } from '../observability/metrics-text.ts'
import { briskClock } from '../support/adjustable-clock.ts'
import { makeAuthority } from '../support/certificates.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { newPair } from './assertions.ts'

/** `fetch_token`: sent to the server that the operator named, and nowhere else; stored encrypted, and shown nowhere. */

const TOKEN = `fetch-${randomBytes(24).toString('hex')}`
const OTHER = `fetch-${randomBytes(24).toString('hex')}`
const pair = newPair('one')

/** What a server received, by path. */
async function keyServer(jwksUri?: (own: string) => string) {
  const seen: [path: string, authorization: string | undefined][] = []
  const server: Server = createServer((req, res) => {
    seen.push([req.url ?? '', req.headers.authorization])
    const document = { issuer: url, jwks_uri: jwksUri?.(url) ?? `${url}/keys` }
    const isAllowed = req.headers.authorization === `Bearer ${TOKEN}` || req.url === '/open'
    if (!isAllowed) return void res.writeHead(401).end()
    res.end(JSON.stringify(req.url?.startsWith('/.well-known') ? document : { keys: [pair.jwk] }))
  })
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}`
  const stop = () => {
    server.close()
    server.closeAllConnections()
  }
  return { url, port, seen, stop }
}
type KeyServer = Awaited<ReturnType<typeof keyServer>>

let mintmark: TestService
let one: KeyServer
let two: KeyServer
beforeAll(async () => {
  mintmark = await startTestService({ overrides: { clock: briskClock } })
  one = await keyServer()
  two = await keyServer(() => `${one.url}/open`)
})
afterAll(async () => {
  await mintmark.stop()
  one.stop()
  two.stop()
})

let audiences = 0
const provider = ({ url, port }: KeyServer, more: object = {}) => ({
  kind: 'oidc',
  issuer: url,
  audiences: [`audience-${++audiences}`],
  allow_addresses: [`127.0.0.1/32:${port}`, `127.0.0.1/32:${one.port}`],
  fetch_token: TOKEN,
  ...more,
})
const create = async (settings: object) => {
  const { status, body, text } = await mintmark.admin('POST', '/identity-providers', settings)
  expect(status, text).toBe(201)
  return body
}
const fetchOf = async (id: string) => (await mintmark.admin('GET', `/identity-providers/${id}`)).body.fetch
const fetched = (id: string) =>
  until(
    'the keys',
    () => fetchOf(id),
    fetch => fetch?.last_success_at !== null && fetch.failures === 0,
  )

describe('A fetch token', () => {
  it('is sent to the origin of the issuer, for the discovery document and the keys', async () => {
    one.seen.length = 0
    const { id, has_fetch_token } = await create(provider(one))
    expect(has_fetch_token).toBe(true)
    await fetched(id)
    expect(one.seen).toEqual([
      ['/.well-known/openid-configuration', `Bearer ${TOKEN}`],
      ['/keys', `Bearer ${TOKEN}`],
    ])
    await mintmark.admin('DELETE', `/identity-providers/${id}`)
  })

  it('is not sent to another origin that the discovery document names', async () => {
    one.seen.length = 0
    two.seen.length = 0
    const { id } = await create(provider(two))
    await fetched(id)
    expect(two.seen).toEqual([['/.well-known/openid-configuration', `Bearer ${TOKEN}`]])
    expect(one.seen).toEqual([['/open', undefined]])
    await mintmark.admin('DELETE', `/identity-providers/${id}`)
  })

  it('is sent to the origin of jwks_uri, not of the issuer, where that is set', async () => {
    one.seen.length = 0
    const { id } = await create(provider(two, { jwks_uri: `${one.url}/keys` }))
    await fetched(id)
    expect(one.seen).toEqual([['/keys', `Bearer ${TOKEN}`]])
    await mintmark.admin('DELETE', `/identity-providers/${id}`)
  })

  it('is changed and removed; a fetch that failed is repeated at once with the new one', async () => {
    const { id } = await create(provider(one, { fetch_token: OTHER }))
    await until(
      '401',
      () => fetchOf(id),
      fetch => fetch?.last_error?.kind === 'status',
    )
    const patch = (fetch_token: string | null) =>
      mintmark.admin('PATCH', `/identity-providers/${id}`, { fetch_token })
    expect((await patch(TOKEN)).body.has_fetch_token).toBe(true)
    await fetched(id)
    expect(
      (await mintmark.admin('PATCH', `/identity-providers/${id}`, { name: 'x' })).body.has_fetch_token,
    ).toBe(true)
    expect((await patch(null)).body.has_fetch_token).toBe(false)
    const { data } = (await mintmark.admin('GET', '/audit-events?limit=100')).body
    const changes = data.flatMap(
      (event: { changes?: { fetchToken?: object } }) => event.changes?.fetchToken ?? [],
    )
    expect(changes.slice(0, 2)).toEqual([
      { from: expect.stringMatching(/^set \(.{8}\)$/), to: null },
      { from: expect.stringMatching(/^set \(.{8}\)$/), to: expect.stringMatching(/^set \(.{8}\)$/) },
    ])
    await mintmark.admin('DELETE', `/identity-providers/${id}`)
  })

  it('is not sent to a server that it was not given for: it must be sent again', async () => {
    const { id } = await create(provider(two, { jwks_uri: `${two.url}/open` }))
    await fetched(id)
    one.seen.length = 0
    const patch = (settings: object) => mintmark.admin('PATCH', `/identity-providers/${id}`, settings)
    const elsewhere = [
      { jwks_uri: `${one.url}/keys` },
      { jwks_uri: `${one.url}/keys`, name: 'mine' },
      { allow_addresses: ['0.0.0.0/0:443'] },
      { ca_pem: makeAuthority('mine').certificate },
    ]
    for (const settings of elsewhere) {
      const { status, body } = await patch(settings)
      expect([status, body.errors?.[0]?.pointer]).toEqual([400, '/fetch_token'])
      expect(body.errors[0].message).toContain('must be sent again')
    }
    // Null is the issuer, whose origin is the same.
    for (const jwks_uri of [`${two.url}/keys`, null])
      expect((await patch({ jwks_uri })).body.has_fetch_token).toBe(true)
    expect(one.seen).toEqual([])
    expect((await patch({ ...elsewhere[0], fetch_token: TOKEN })).body.has_fetch_token).toBe(true)
    await until('the fetch', () => one.seen.length > 0)
    expect(one.seen[0]).toEqual(['/keys', `Bearer ${TOKEN}`])
    expect((await patch({ jwks_uri: `${two.url}/keys`, fetch_token: null })).body).toMatchObject({
      has_fetch_token: false,
    })
    expect((await patch({ jwks_uri: `${one.url}/keys` })).status).toBe(200)
    await mintmark.admin('DELETE', `/identity-providers/${id}`)
  })

  it.each([
    ['with spaces', { fetch_token: 'a b' }],
    ['with a line break', { fetch_token: 'a\nb' }],
    ['together with jwks', { jwks: { keys: [pair.jwk] } }],
  ])('%s is rejected by name', async (_, more) => {
    const { status, body } = await mintmark.admin('POST', '/identity-providers', provider(one, more))
    expect([status, body.errors[0].pointer]).toEqual([400, '/fetch_token'])
  })

  it('is in no response, no log line, no metric, and no table', async () => {
    const { id } = await create(provider(one))
    await fetched(id)
    for (const path of [`/identity-providers/${id}`, '/identity-providers', '/audit-events?limit=100'])
      expect((await mintmark.admin('GET', path)).text).not.toContain('fetch-')
    expect(mintmark.logs.join('')).not.toContain(TOKEN)
    expect((await scrape(mintmark.service.urls.ops)).text).not.toContain(TOKEN)
    const tables = await mintmark.database.asOwner(
      `SELECT string_agg(p::text, '') || (SELECT string_agg(a::text, '') FROM audit_events AS a) AS text
       FROM identity_providers AS p`,
    )
    expect(JSON.stringify(tables).includes('fetchToken')).toBe(true)
    for (const form of [TOKEN, Buffer.from(TOKEN).toString('base64url'), OTHER])
      expect(JSON.stringify(tables)).not.toContain(form)
    await mintmark.admin('DELETE', `/identity-providers/${id}`)
  })
})

describe('with another encryption key', () => {
  const key = (id: string) => `${id}:${randomBytes(32).toString('base64url')}`

  it('"signing-key rewrap" encrypts the token again, and the old key can be removed', async () => {
    const [before, after] = [mintmark.environment.MINTMARK_ENCRYPTION_KEYS ?? '', key('e2')]
    const { id } = await create(provider(one))
    const replica = (keys: string) =>
      startTestService({
        database: mintmark.database,
        env: { ...mintmark.environment, MINTMARK_ENCRYPTION_KEYS: keys },
        overrides: { clock: briskClock },
      })
    const both = await replica(`${after},${before}`)
    expect((await both.admin('POST', '/signing-keys/rewrap')).status).toBe(200)
    await both.stop()
    one.seen.length = 0
    const alone = await replica(after)
    await until('the fetch', () => one.seen.length >= 2)
    expect(one.seen).toContainEqual(['/keys', `Bearer ${TOKEN}`])
    expect((await alone.admin('GET', `/identity-providers/${id}`)).body.has_fetch_token).toBe(true)
    await alone.stop()
  })
})

describe('FetchTokens', () => {
  const named = (id: string) => ({ id, key: new Secret(randomBytes(32)) })
  const tokens = (...keys: ReturnType<typeof named>[]) => new FetchTokens({ keys, random: systemRandom })
  const [first, second] = [named('a'), named('b')]
  const stored = tokens(first).encrypt('idp_1', new Secret(TOKEN))

  it('decrypts with any of its keys, and encrypts with the first', () => {
    expect(tokens(second, first).decrypt('idp_1', stored)).toBe(TOKEN)
    expect([tokens(first).isCurrent(stored), tokens(second, first).isCurrent(stored)]).toEqual([true, false])
    expect(tokens(first).encrypt('idp_1', new Secret(TOKEN))).not.toBe(stored)
  })

  it.each([
    ['of another provider', () => tokens(first).decrypt('idp_2', stored)],
    ['without its key', () => tokens(second).decrypt('idp_1', stored)],
    ['with another key of the same name', () => tokens(named('a')).decrypt('idp_1', stored)],
    [
      'that was altered',
      () => tokens(first).decrypt('idp_1', `${stored.slice(0, -2)}${stored.endsWith('AA') ? 'QQ' : 'AA'}`),
    ],
    ['that is none', () => tokens(first).decrypt('idp_1', 'a:')],
  ])('does not decrypt one %s', (_, decrypt) => {
    expect(decrypt).toThrow(expect.objectContaining({ kind: 'token' }))
  })
})
