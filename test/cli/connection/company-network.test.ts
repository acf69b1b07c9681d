import { mkdtempSync, writeFileSync } from 'node:fs'
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  request,
  type ServerResponse,
} from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { proxyFor } from '../../../src/cli/connection/proxy.ts'
import { makeAuthority, makeCertificate } from '../../support/certificates.ts'
import { freePort } from '../../support/free-port.ts'
import { startTestService, type TestService } from '../../support/test-service.ts'
import { mintmark, mintmarkProcess, type Outcome } from '../mintmark.ts'
import { type ConnectProxy, startConnectProxy } from './connect-proxy.ts'

/**
 * The command line where a company's network is between it and the service: a forward proxy, TLS with a private authority, hosts
 * that only the proxy can resolve, and pages of others in place of answers.
 */

const HOST = 'mintmark.corp.invalid'
const authority = makeAuthority('Corporate authority')
const signed = (name: string, expired = false) =>
  makeCertificate(authority, { name, authorityName: 'Corporate authority', dnsNames: [name], expired })
const caFile = join(mkdtempSync(join(tmpdir(), 'mintmark-network-')), 'ca.pem')

let service: TestService
let proxy: ConnectProxy
const servers: Server[] = []
beforeAll(async () => {
  writeFileSync(caFile, authority.certificate)
  service = await startTestService()
  await service.admin('POST', '/tenants', { id: 'acme' })
  proxy = await startConnectProxy()
  proxy.hosts.set(HOST, portOf(await listening(createTlsServer(pem(signed(HOST)), relay))))
  proxy.hosts.set('plain.corp.invalid', Number(new URL(service.service.urls.admin).port))
})
afterAll(async () => {
  for (const server of servers) server.close()
  proxy.close()
  await service.stop()
})
beforeEach(() => {
  Object.assign(proxy, { password: undefined, refusal: undefined })
  proxy.asked.length = 0
})

const pem = ({ certificate, key }: { certificate: string; key: string }) => ({ cert: certificate, key })
const portOf = (server: Server) => (server.address() as AddressInfo).port
async function listening<T extends Server>(server: T, host = '127.0.0.1'): Promise<T> {
  servers.push(server)
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, host, resolve))
  return server
}

/** Hands on to the admin listener; below /mintmark too, as behind a proxy with a path. */
function relay(req: IncomingMessage, res: ServerResponse): void {
  const { port } = new URL(service.service.urls.admin)
  const path = req.url?.replace(/^\/mintmark/, '')
  req.pipe(
    request({ host: '127.0.0.1', port, method: req.method, path, headers: req.headers }, answer => {
      res.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(res)
    }),
  )
}

const list = (env: Record<string, string>, run = mintmark): Promise<Outcome> =>
  run(['tenant', 'list', '-q'], { env: { MINTMARK_ADMIN_TOKEN: service.rootToken, ...env } })
/** In a process of its own, which trusts the authority. */
const trusting = (env: Record<string, string>) =>
  list({ MINTMARK_URL: `https://${HOST}`, NODE_EXTRA_CA_CERTS: caFile, ...env }, mintmarkProcess)
const done = { code: 0, stdout: 'acme\n', stderr: '' }

describe('A proxy of the environment', () => {
  it.each(['HTTPS_PROXY', 'https_proxy'])('%s is used for https, and resolves the host', async name => {
    expect(await trusting({ [name]: proxy.url })).toEqual(done)
    expect(proxy.asked).toEqual([`CONNECT ${HOST}:443`])
  })

  it('HTTP_PROXY is used for http, and needs no scheme', async () => {
    const env = { MINTMARK_URL: 'http://plain.corp.invalid', HTTP_PROXY: proxy.url.replace('http://', '') }
    expect(await list(env)).toEqual(done)
    expect(proxy.asked).toEqual([
      expect.stringMatching(/^GET http:\/\/plain\.corp\.invalid\/admin\/v1\/tenants/),
    ])
  })

  it('is asked for a connection once for each of those that are open at a time, not for each request', async () => {
    const tiers = Array.from(
      { length: 20 },
      (_, number) => `---\nresource: tier\nname: t${number}\npriority: 1\n`,
    )
    const file = join(mkdtempSync(join(tmpdir(), 'mintmark-network-')), 'set.yaml')
    writeFileSync(file, `resource: set\nname: tiers\n${tiers.join('')}`)
    const env = {
      ...{ MINTMARK_URL: `https://${HOST}`, MINTMARK_ADMIN_TOKEN: service.rootToken },
      ...{ HTTPS_PROXY: proxy.url, NODE_EXTRA_CA_CERTS: caFile },
    }
    const ended = await mintmarkProcess(['apply', '-f', file], { env })
    expect(ended.code, ended.stderr).toBe(0)
    // A plan reads six lists at a time.
    expect(proxy.asked.length).toBeLessThan(10)
  })

  it('gets the user and password of its URL, which no message repeats', async () => {
    proxy.password = 'robot:hidden-word'
    const url = proxy.url.replace('http://', 'http://robot:hidden-word@')
    expect(await trusting({ HTTPS_PROXY: url })).toEqual(done)
    proxy.refusal = 403
    const refused = await trusting({ HTTPS_PROXY: url })
    expect(refused.stderr).toContain(`the proxy ${proxy.url}/ (HTTPS_PROXY) answers 403`.replace('/ (', ' ('))
    expect(refused.stderr).not.toContain('hidden-word')
  })

  it.each([
    [407, 'asks for a user and password (407). Put them into its URL: http://user:password@host:port.'],
    [
      403,
      `answers 403 instead of a connection to ${HOST}. Ask for ${HOST} to be allowed, or if it is reachable without the proxy: NO_PROXY=${HOST}`,
    ],
    [502, `answers 502 instead of a connection to ${HOST}. Check that the proxy reaches ${HOST}`],
  ])('that answers %d is named, with the cure', async (status, words) => {
    proxy.refusal = status
    const ended = await list({ MINTMARK_URL: `https://${HOST}`, HTTPS_PROXY: proxy.url })
    expect([ended.code, ended.stderr]).toEqual([6, expect.stringContaining(words)])
    expect(ended.stderr).toContain(`the proxy ${proxy.url} (HTTPS_PROXY)`)
  })

  it('that asks for a password for plain http is named too', async () => {
    proxy.refusal = 407
    const ended = await list({ MINTMARK_URL: 'http://plain.corp.invalid', HTTP_PROXY: proxy.url })
    expect([ended.code, ended.stderr]).toEqual([
      6,
      expect.stringContaining('asks for a user and password (407)'),
    ])
  })

  it('that does not listen is named, and not the service', async () => {
    const url = `http://127.0.0.1:${await freePort()}`
    const ended = await list({ MINTMARK_URL: `https://${HOST}`, HTTPS_PROXY: url })
    expect(ended.stderr).toBe(
      `mintmark: no connection to the proxy ${url} (HTTPS_PROXY) (ECONNREFUSED). Check the variable.\n`,
    )
  })

  it('that is no HTTP proxy is refused by name', async () => {
    const ended = await list({ MINTMARK_URL: `https://${HOST}`, HTTPS_PROXY: 'socks5://127.0.0.1:1080' })
    expect([ended.code, ended.stderr]).toEqual([
      2,
      expect.stringContaining('HTTPS_PROXY must be the URL of an HTTP proxy'),
    ])
  })

  it('is asked by "token inspect", "doctor" and "login" as well', async () => {
    const env = { HTTPS_PROXY: proxy.url, HOME: mkdtempSync(join(tmpdir(), 'mintmark-home-')) }
    const jwt = `${Buffer.from('{"alg":"ES256"}').toString('base64url')}.${Buffer.from('{}').toString('base64url')}.x`
    const url = `https://${HOST}`
    await mintmark(['token', 'inspect', '--issuer', url], { env, input: jwt })
    await mintmark(['doctor', '--issuer', url], { env })
    await mintmark(['login', url, '--context', 'x'], { env, input: service.rootToken })
    expect(proxy.asked.length).toBeGreaterThanOrEqual(3)
    expect(new Set(proxy.asked)).toEqual(new Set([`CONNECT ${HOST}:443`]))
  })

  it.each(['127.0.0.1', 'localhost', '[::1]'])(
    'is never asked for %s, where it would get the token',
    async host => {
      const { port } = new URL(service.service.urls.admin)
      const isOther = host === '[::1]' && (await listening(createServer(relay), '::1').catch(() => undefined))
      const at = isOther ? portOf(isOther) : port
      const ended = await list({
        MINTMARK_URL: `http://${host}:${at}`,
        HTTP_PROXY: proxy.url,
        http_proxy: proxy.url,
      })
      // A machine without IPv6 has no ::1.
      if (host !== '[::1]' || isOther) expect(ended).toEqual(done)
      expect(proxy.asked).toEqual([])
    },
  )
})

describe('NO_PROXY', () => {
  const proxies = { HTTPS_PROXY: 'http://proxy:3128', HTTP_PROXY: 'http://proxy:3128' }
  it.each([
    ['*', 'https://a.example.com', false],
    ['a.example.com', 'https://a.example.com', false],
    ['example.com', 'https://a.example.com', false],
    ['.example.com', 'https://a.example.com', false],
    ['*.example.com', 'https://a.example.com', false],
    ['.example.com', 'https://example.com', true],
    ['ample.com', 'https://example.com', true],
    ['EXAMPLE.com, other', 'https://example.com', false],
    ['x y,example.com', 'https://example.com.', false],
    ['example.com:8443', 'https://example.com', true],
    ['example.com:443', 'https://example.com', false],
    ['example.com:80', 'http://example.com', false],
    ['10.0.0.0/8', 'https://10.1.2.3:8081', false],
    ['10.0.0.0/8', 'https://11.1.2.3', true],
    ['10.1.2.3', 'https://10.1.2.3', false],
    ['fd00::/8', 'https://[fd00::1]', false],
    ['[fd00::1]', 'https://[fd00::1]', false],
    ['fd00::2', 'https://[fd00::1]', true],
    ['', 'https://example.com', true],
  ])('"%s": %s through the proxy: %s', (entries, url, isProxied) => {
    for (const name of ['NO_PROXY', 'no_proxy'])
      expect(proxyFor(new URL(url), { ...proxies, [name]: entries }) !== undefined).toBe(isProxied)
  })

  it('sends past the proxy, where a host has no address', async () => {
    const ended = await list({
      MINTMARK_URL: `https://${HOST}`,
      HTTPS_PROXY: proxy.url,
      NO_PROXY: '.invalid',
    })
    expect([ended.code, ended.stderr]).toEqual([
      6,
      expect.stringMatching(/has no address \((ENOTFOUND|EAI_AGAIN)\).*set HTTPS_PROXY/),
    ])
    expect(proxy.asked).toEqual([])
  })
})

describe('A certificate', () => {
  const through = () => ({ HTTPS_PROXY: proxy.url })
  it('of an unknown authority is not accepted, and the message has three ways to add it', async () => {
    const ended = await list({ MINTMARK_URL: `https://${HOST}`, ...through() })
    expect([ended.code, ended.stderr]).toEqual([
      6,
      expect.stringContaining('was not accepted (UNABLE_TO_VERIFY_LEAF_SIGNATURE)'),
    ])
    for (const cure of ['NODE_EXTRA_CA_CERTS=<file>', 'mintmark login --ca-file', 'NODE_USE_SYSTEM_CA=1'])
      expect(ended.stderr).toContain(cure)
  })

  it('is accepted with "login --ca-file", by later commands too, through the proxy', async () => {
    const env = { HOME: mkdtempSync(join(tmpdir(), 'mintmark-home-')), ...through() }
    const args = ['login', `https://${HOST}/mintmark/`, '--context', 'corp', '--ca-file', caFile]
    const login = await mintmarkProcess(args, { env, input: service.rootToken })
    expect(login.code, login.stderr).toBe(0)
    expect(await mintmarkProcess(['tenant', 'list', '-q'], { env })).toEqual(done)
  })

  it.each([
    [
      'self-signed',
      'self.corp.invalid',
      pem(makeAuthority('self.corp.invalid')),
      'SELF_SIGNED_CERT',
      'Add its authority',
    ],
    [
      'expired',
      'old.corp.invalid',
      pem(signed('old.corp.invalid', true)),
      'CERT_HAS_EXPIRED',
      'It has expired',
    ],
    [
      'of another host',
      'wrong.corp.invalid',
      pem(signed(HOST)),
      'ERR_TLS_CERT_ALTNAME_INVALID',
      'It is for other names: check the host in MINTMARK_URL.',
    ],
  ])('that is %s is refused with its cure', async (_, host, certificate, code, cure) => {
    proxy.hosts.set(host, portOf(await listening(createTlsServer(certificate, relay))))
    const ended = await trusting({ MINTMARK_URL: `https://${host}`, ...through() })
    expect([ended.code, ended.stderr]).toEqual([6, expect.stringContaining(code)])
    expect(ended.stderr).toContain(cure)
  })
})

describe('A base URL', () => {
  it.each(['/mintmark', '/mintmark/', '/mintmark//'])('may have a path, also as %s', async path => {
    expect(await trusting({ MINTMARK_URL: `https://${HOST}${path}`, HTTPS_PROXY: proxy.url })).toEqual(done)
  })
})

describe('An answer of someone else', () => {
  const page =
    (status: number, headers: Record<string, string> = {}): RequestListener =>
    (_, res) =>
      void res
        .writeHead(status, { 'content-type': 'text/html', ...headers })
        .end('<html>Sign in: secret-session</html>')
  it.each([
    ['a login page', page(200), 'it answers 200 with text/html'],
    ['a captive portal', page(511), 'it answers 511 with text/html'],
    ['a blocked page', page(403), 'it answers 403 with text/html'],
    [
      'a redirect to a login page',
      page(302, { location: 'https://login.corp.invalid/start?session=secret-session' }),
      "answers with a redirect to https://login.corp.invalid/start, which may be a proxy's login page, which is not followed",
    ],
    ['a redirect to https', page(301, { location: '/other' }), '/other, which is not followed'],
  ])('%s is named as such, and nothing of it is repeated', async (_, answer, words) => {
    const server = await listening(createServer(answer))
    const ended = await list({ MINTMARK_URL: `http://127.0.0.1:${portOf(server)}` })
    expect([ended.code, ended.stdout, ended.stderr]).toEqual([1, '', expect.stringContaining(words)])
    expect(ended.stderr).not.toContain('secret-session')
  })
})
