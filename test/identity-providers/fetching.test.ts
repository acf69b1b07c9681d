import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { afterEach, describe, expect, it } from 'vitest'
import type { Resolve } from '../../src/identity-providers/fetching/fetch-document.ts'
import { FetchTokens } from '../../src/identity-providers/fetching/fetch-tokens.ts'
import { FetchedKeys } from '../../src/identity-providers/fetching/fetched-keys.ts'
import type { FetchedProvider } from '../../src/identity-providers/fetching/key-source.ts'
import { plainKeySet } from '../../src/identity-providers/verification-key.ts'
import { systemClock } from '../../src/system/clock.ts'
import { systemRandom } from '../../src/system/random.ts'
import { adjustableClock } from '../support/adjustable-clock.ts'
import { makeAuthority, makeCertificate } from '../support/certificates.ts'
import { until } from '../support/until.ts'
import { newPair } from './assertions.ts'

/** Keys of issuers, fetched from real HTTP servers. */

const [first, second] = [newPair('first'), newPair('second')]
const setOf = (...pairs: ReturnType<typeof newPair>[]) =>
  JSON.stringify({ keys: pairs.map(({ jwk }) => jwk) })

const servers: Server[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    await new Promise(done => server.close(done))
  }
})

async function serve(listener: RequestListener, make: (listener: RequestListener) => Server = createServer) {
  const requests: string[] = []
  const server = make((req, res) => {
    requests.push(req.url ?? '')
    listener(req, res)
  })
  servers.push(server)
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  return { server, port, requests, url: `http://127.0.0.1:${port}` }
}

/** Only `forward` sets it. While it is `impatient`, a timeout of five seconds takes a quarter of one. */
function fetchClock(impatient: () => boolean) {
  const clock = adjustableClock()
  clock.freeze()
  const epochMs = systemClock.wallMs() - clock.monotonicMs()
  return {
    ...clock,
    wallMs: () => epochMs + clock.monotonicMs(),
    sleep: (ms: number, signal?: AbortSignal) => systemClock.sleep(impatient() ? ms / 20 : ms, signal),
  }
}

const provider = (given: Partial<FetchedProvider>): FetchedProvider => ({
  id: 'idp_1',
  kind: 'oidc',
  issuer: 'https://issuer.example.com',
  jwks: null,
  jwksUri: null,
  caPem: null,
  allowAddresses: [],
  jwksMaxStaleSeconds: 86_400,
  ...given,
})

interface Options {
  resolve?: Resolve
  insecureLoopback?: boolean
  ownPorts?: number[]
  impatient?: () => boolean
}

function fetching(
  given: Partial<FetchedProvider>,
  { resolve, insecureLoopback = true, ownPorts = [], impatient = () => false }: Options = {},
) {
  const clock = fetchClock(impatient)
  const fetched = new FetchedKeys({
    tokens: new FetchTokens({ keys: [], random: systemRandom }),
    cluster: { apiUrl: 'https://kubernetes.default.svc', folder: '/nowhere' },
    clock,
    random: systemRandom,
    now: () => clock.wallMs(),
    insecureLoopback,
    isOwn: (_, port) => ownPorts.includes(port),
    ...(resolve && { resolve }),
  })
  fetched.follow([provider(given)])
  const round = async () => {
    fetched.tick()
    await until('the fetch is over', () => fetched.busy === 0)
  }
  return {
    clock,
    fetched,
    round,
    kids: () => fetched.keysOf('idp_1')?.map(({ kid }) => kid),
    health: () => fetched.health[0],
  }
}

const local = (port: number) => [`127.0.0.1/32:${port}`]

describe('the keys of an issuer', () => {
  it('are kept without what the issuer adds: it can be nested so deep that no snapshot could be written', () => {
    const deep: unknown = JSON.parse('['.repeat(50_000) + ']'.repeat(50_000))
    const { jwk } = newPair('one')
    const keys = [{ ...jwk, key_ops: ['verify', deep], more: deep }, 'no key']
    expect(plainKeySet({ keys, more: deep })).toEqual({ keys: [{ ...jwk, key_ops: ['verify'] }] })
  })

  it('are found by its discovery document', async () => {
    const { port, url, requests } = await serve((req, res) =>
      res.end(req.url === '/keys' ? setOf(first) : JSON.stringify({ issuer: url, jwks_uri: `${url}/keys` })),
    )
    const { round, kids } = fetching({ issuer: url, allowAddresses: local(port) })
    await round()
    expect(kids()).toEqual(['first'])
    expect(requests).toEqual(['/.well-known/openid-configuration', '/keys'])
  })

  it('of a cluster are where its API server has them', async () => {
    const { port, url, requests } = await serve((_, res) => res.end(setOf(first)))
    const { round, kids } = fetching({ kind: 'kubernetes', issuer: url, allowAddresses: local(port) })
    await round()
    expect([kids(), requests]).toEqual([['first'], ['/openid/v1/jwks']])
  })

  it('are replaced when it rotates: a removed key is not accepted', async () => {
    let set = setOf(first)
    const { port, url } = await serve((_, res) => res.end(set))
    const { clock, round, kids } = fetching({ jwksUri: `${url}/keys`, allowAddresses: local(port) })
    await round()
    set = setOf(first, second)
    await round()
    expect(kids()).toEqual(['first'])
    clock.forward(301)
    await round()
    expect(kids()).toEqual(['first', 'second'])
    set = setOf(second)
    clock.forward(301)
    await round()
    expect(kids()).toEqual(['second'])
  })

  it('are fetched again because of an unknown key, at most once a minute', async () => {
    const { port, url, requests } = await serve((_, res) => res.end(setOf(first)))
    const { clock, fetched, round } = fetching({ jwksUri: url, allowAddresses: local(port) })
    await round()
    for (let second = 0; second < 119; second++) {
      fetched.noteUnknownKey('idp_1')
      clock.forward(1)
      await round()
    }
    expect(requests.length).toBe(2)
  })

  it('are fetched no later because of an unknown key', async () => {
    const { port, url } = await serve((_, res) => res.writeHead(500).end())
    const { fetched, round, health } = fetching({ jwksUri: url, allowAddresses: local(port) })
    await round()
    const next = health()?.nextAt
    expect(next).toBeGreaterThan(0)
    fetched.noteUnknownKey('idp_1')
    expect(health()?.nextAt).toBe(next)
  })

  it('over TLS need a certificate that the authority of the provider has signed', async () => {
    const authority = makeAuthority('authority')
    const named = { name: 'localhost', authorityName: 'authority', dnsNames: ['localhost'] }
    const { certificate: cert, key } = makeCertificate(authority, named)
    const { port } = await serve(lines(setOf(first)), listener => createTlsServer({ cert, key }, listener))
    const given = { jwksUri: `https://localhost:${port}/`, allowAddresses: local(port) }
    const resolve: Resolve = async () => [{ address: '127.0.0.1', family: 4 }]
    const trusting = fetching(
      { ...given, caPem: authority.certificate },
      { resolve, insecureLoopback: false },
    )
    await trusting.round()
    expect(trusting.kids()).toEqual(['first'])
    const strict = fetching(given, { resolve, insecureLoopback: false })
    await strict.round()
    expect(strict.kids()).toBeUndefined()
    expect(strict.health()?.fault).toMatch(/^The request failed: [A-Z_]*(CERT|ISSUER|SIGNATURE)/)
  })
})

const lines =
  (text: string): RequestListener =>
  (_, res) =>
    res.end(text)

describe('an issuer that', () => {
  const huge = Buffer.alloc(10_000_000, 'x')
  const compressed = gzipSync(huge)
  it.each<[string, RequestListener, fault: RegExp]>([
    ['answers HTML', lines('<!doctype html><title>Sign in</title>'), /not JSON/],
    ['answers nothing', lines(''), /not JSON/],
    ['answers text that is not UTF-8', (_, res) => res.end(Buffer.from([0x22, 0xff, 0x22])), /not JSON/],
    ['answers a list', lines('[]'), /must be a JWK Set/],
    ['answers null', lines('null'), /must be a JWK Set/],
    ['has no keys', lines('{"keys": []}'), /must have a public key/],
    ['has 1,000 keys', lines(JSON.stringify({ keys: Array(1_000).fill(first.jwk) })), /at most 100 keys/],
    [
      'has a private key',
      lines(JSON.stringify({ keys: [{ ...first.jwk, d: 'AA' }] })),
      /private or symmetric/,
    ],
    ['answers 10 MB', (_, res) => res.end(huge), /more than 262144 bytes/],
    ['compresses 10 MB', (_, res) => res.setHeader('content-encoding', 'gzip').end(compressed), /compressed/],
    ['answers 500', (_, res) => res.writeHead(500).end(setOf(first)), /status 500/],
    ['answers 204', (_, res) => res.writeHead(204).end(), /status 204/],
    ['hangs', () => {}, /within 5 s/],
    ['hangs after its first byte', (_, res) => res.write('{'), /within 5 s/],
    ['closes the connection', req => req.socket.destroy(), /ECONNRESET/],
    [
      'has large headers',
      (_, res) => res.writeHead(200, { x: 'x'.repeat(100_000) }).end(setOf(first)),
      /HPE_HEADER_OVERFLOW/,
    ],
  ])('%s: the last good keys are kept, until they are too old', async (_, broken, fault) => {
    let listener: RequestListener = lines(setOf(first))
    const { port, url } = await serve((req, res) => listener(req, res))
    const given = { jwksUri: url, allowAddresses: local(port), jwksMaxStaleSeconds: 3_600 }
    const impatient = () => fault.source === 'within 5 s' && listener === broken
    const { clock, round, kids, health } = fetching(given, { impatient })
    await round()
    listener = broken
    clock.forward(301)
    await round()
    expect(health()).toMatchObject({ failures: 1, fault: expect.stringMatching(fault) })
    expect(kids()).toEqual(['first'])
    clock.forward(3_200)
    expect(kids()).toEqual(['first'])
    clock.forward(200)
    expect(kids()).toBeUndefined()
    listener = lines(setOf(second))
    await round()
    expect([kids(), health()?.failures, health()?.fault]).toEqual([['second'], 0, undefined])
  })

  it('redirects is not followed', async () => {
    const target = await serve((_, res) => res.end(setOf(first)))
    for (const status of [301, 302, 303, 307, 308]) {
      const { port, url } = await serve((_, res) => res.writeHead(status, { location: target.url }).end())
      const { round, kids, health } = fetching({
        jwksUri: url,
        allowAddresses: [...local(port), ...local(target.port)],
      })
      await round()
      expect([kids(), health()?.fault]).toEqual([
        undefined,
        `The answer has the status ${status} instead of 200.`,
      ])
    }
    expect(target.requests).toEqual([])
  })

  it.each<[string, (url: string) => object, RegExp]>([
    [
      'is another one by its discovery document',
      url => ({ issuer: `${url}/other`, jwks_uri: `${url}/keys` }),
      /of another issuer/,
    ],
    ['has no jwks_uri', url => ({ issuer: url }), /has no jwks_uri/],
    ['names a file', url => ({ issuer: url, jwks_uri: 'file:///etc/passwd' }), /begin with https/],
    [
      'names a service without TLS',
      url => ({ issuer: url, jwks_uri: 'http://metadata.example.com/' }),
      /begin with https/,
    ],
    [
      'names the metadata service',
      url => ({ issuer: url, jwks_uri: 'https://169.254.169.254/latest' }),
      /169\.254\.169\.254, port 443, is not public/,
    ],
    [
      'names the metadata service in another form',
      url => ({ issuer: url, jwks_uri: 'https://[::ffff:a9fe:a9fe]/' }),
      /is not public/,
    ],
    [
      'names the metadata service as a number',
      url => ({ issuer: url, jwks_uri: 'https://2852039166/' }),
      /169\.254\.169\.254/,
    ],
    [
      'has a password in its address',
      url => ({ issuer: url, jwks_uri: 'https://a:b@example.com/' }),
      /password/,
    ],
  ])('%s gets no further request', async (_, document, fault) => {
    const { port, url, requests } = await serve((_req, res) => res.end(JSON.stringify(document(url))))
    const { round, health } = fetching({ issuer: url, allowAddresses: local(port) })
    await round()
    expect(health()?.fault).toMatch(fault)
    expect(requests).toHaveLength(1)
  })

  it('fails is asked less and less often', async () => {
    const { port, url, requests } = await serve((_, res) => res.writeHead(500).end())
    const { clock, round } = fetching({ jwksUri: url, allowAddresses: local(port) })
    for (let second = 0; second < 3_600; second += 5) {
      await round()
      clock.forward(5)
    }
    expect(requests.length).toBeGreaterThan(10)
    expect(requests.length).toBeLessThan(25)
  })
})

describe('an address is refused', () => {
  const at =
    (address: string): Resolve =>
    async () => [{ address, family: address.includes(':') ? 6 : 4 }]

  it.each([
    '127.0.0.1',
    '::1',
    '::ffff:127.0.0.1',
    '64:ff9b::7f00:1',
    '64:ff9b:1::7f00:1',
    '2002:7f00:1::',
    '169.254.169.254',
    '64:ff9b::a9fe:a9fe',
    'fe80::1',
    '10.0.0.1',
    '172.16.0.1',
    '192.168.0.1',
    '100.64.0.1',
    'fd00::1',
    '0.0.0.0',
    '::',
    '224.0.0.1',
    '192.0.0.8',
    '192.0.2.1',
    '198.18.0.1',
    '240.0.0.1',
    '255.255.255.255',
    '::127.0.0.1',
    '::ffff:0:127.0.0.1',
    '64:ff9b::a00:1',
    '2001::1',
    '2001:db8::1',
    'fec0::1',
    'ff02::1',
    '::ffff:169.254.169.254',
    'fd00:ec2::254',
  ])('after the name became %s', async address => {
    const { port, requests } = await serve((_, res) => res.end(setOf(first)))
    const { round, kids, health } = fetching(
      { jwksUri: `https://issuer.example.com:${port}/` },
      { resolve: at(address) },
    )
    await round()
    expect(kids()).toBeUndefined()
    expect(health()?.fault).toContain(`The address ${address}, port ${port}, is not public.`)
    expect(requests).toEqual([])
  })

  it.each([
    'https://127.1/',
    'https://2130706433/',
    'https://0x7f.0.0.1/',
    'https://0177.0.0.1/',
    'https://[::1]/',
    'https://[::ffff:7f00:1]/',
    'https://[64:ff9b::7f00:1]/',
    'https://１２７.0.0.1/',
    'https://0/',
  ])('in the URL itself, written as %s', async jwksUri => {
    const { round, kids, health } = fetching({ jwksUri })
    await round()
    expect(kids()).toBeUndefined()
    expect(health()?.fault).toContain('is not public')
  })

  it('if only one of several is local', async () => {
    const resolve: Resolve = async () => [
      { address: '8.8.8.8', family: 4 },
      { address: '127.0.0.1', family: 4 },
    ]
    const { round, health } = fetching({ jwksUri: 'https://issuer.example.com/' }, { resolve })
    await round()
    expect(health()?.fault).toContain('127.0.0.1')
  })

  it('if it is allowed with another port, or is one of our listeners', async () => {
    const { port, requests } = await serve((_, res) => res.end(setOf(first)))
    const elsewhere = fetching({ jwksUri: `http://127.0.0.1:${port}/`, allowAddresses: local(port + 1) })
    await elsewhere.round()
    const own = fetching(
      { jwksUri: `http://127.0.0.1:${port}/`, allowAddresses: local(port) },
      { ownPorts: [port] },
    )
    await own.round()
    for (const { health } of [elsewhere, own]) expect(health()?.fault).toContain('is not public')
    expect(requests).toEqual([])
  })

  it('although the name has another one when it connects: the checked one is used', async () => {
    const { port, requests } = await serve((_, res) => res.end(setOf(first)))
    let asked = 0
    // As a name does that changes its answer at once.
    const resolve: Resolve = async () => [
      { address: asked++ === 0 ? '127.0.0.1' : '169.254.169.254', family: 4 },
    ]
    const given = { jwksUri: `http://localhost:${port}/`, allowAddresses: local(port) }
    const { clock, round, kids, health } = fetching(given, { resolve })
    await round()
    expect([asked, kids(), requests]).toEqual([1, ['first'], ['/']])
    clock.forward(301)
    await round()
    expect(health()?.fault).toContain('169.254.169.254')
    expect(requests).toEqual(['/'])
  })

  it('without TLS, in production', async () => {
    const { port, url, requests } = await serve((_, res) => res.end(setOf(first)))
    const { round, health } = fetching(
      { jwksUri: url, allowAddresses: local(port) },
      { insecureLoopback: false },
    )
    await round()
    expect(health()?.fault).toContain('begin with https')
    expect(requests).toEqual([])
  })
})
