import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { withAnotherSignature } from '../support/altered.ts'
import { freePort } from '../support/free-port.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { cliOf } from './mintmark.ts'

const ISTIO = ['request-authentication', 'authorization-policy', 'envoy-filter'].map(
  name => `deploy/istio/${name}.yaml`,
)

let service: TestService
let cli: ReturnType<typeof cliOf>
let issuer: string
let folder: string
let token: string

beforeAll(async () => {
  const port = await freePort()
  issuer = `http://localhost:${port}`
  service = await startTestService({ env: { MINTMARK_ISSUER: issuer, MINTMARK_PUBLIC_PORT: String(port) } })
  cli = cliOf(service)
  folder = await mkdtemp(join(tmpdir(), 'mintmark-doctor-'))
  const { secret } = await service.tenantWithKey({ id: 'acme', tier: 'premium', allowed_tiers: ['premium'] })
  const { body } = await service.token({ grant_type: 'client_credentials', client_secret: secret })
  token = join(folder, 'token')
  await writeFile(token, body.access_token)
})
afterAll(async () => {
  await service.stop()
  await rm(folder, { recursive: true })
})

/** The files with these changes, for the issuer of this test. */
async function istioFiles(change: (text: string) => string, files = ISTIO): Promise<string[]> {
  const written = await Promise.all(
    files.map(async (name, index) => {
      const file = join(folder, `${index}.yaml`)
      const text = await readFile(new URL(`../../${name}`, import.meta.url), 'utf8')
      await writeFile(file, change(text.replaceAll('https://tokens.example.com', issuer)))
      return ['--istio', file]
    }),
  )
  return written.flat()
}
const unchanged = (text: string) => text
const doctor = (...options: string[]) => cli.attempt(['doctor', '--issuer', issuer, ...options])

/** Examines a server that answers so. */
async function doctorOf(option: '--issuer' | '--ops', answer: RequestListener) {
  const server = createServer(answer)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  try {
    return await cli.attempt(['doctor', option, `http://127.0.0.1:${(server.address() as AddressInfo).port}`])
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

describe('mintmark doctor', () => {
  it('reports no problem for a good installation, shows the headers that a gateway would set, and exits with 0', async () => {
    const { code, stdout, stderr } = await doctor('--token', token, ...(await istioFiles(unchanged)))
    expect({ code, stderr }).toEqual({ code: 0, stderr: 'No problems found.\n' })
    expect(stdout).not.toContain('FAULT')
    for (const line of [
      /issuer +the metadata has exactly "http:\/\/localhost:\d+"/,
      /jwks +2 public keys, complete/,
      /ES256 standby +[\w-]{43} signs 2592000 s after it was published: known to Envoy .*, Istio .*, AWS/,
      /token +signature, type, issuer and expiry are valid; its audience is "vllm"/,
      /header +x-tenant-id: acme/,
      /header +x-vllm-priority: -10/,
      /policy +requests without a token are rejected/,
      /strips +headers that steer the engine are removed/,
    ])
      expect(stdout).toMatch(line)
  })

  it.each<[string, (text: string) => string, string[], RegExp]>([
    [
      'a RequestAuthentication without an AuthorizationPolicy',
      unchanged,
      [ISTIO[0] ?? '', ISTIO[2] ?? ''],
      /policy .*THEY PASS/,
    ],
    [
      'a policy on other workloads',
      text =>
        text.includes('kind: AuthorizationPolicy') ? text.replaceAll('ingressgateway', 'another') : text,
      ISTIO,
      /policy .*THEY PASS/,
    ],
    ['no audiences', text => text.replace('audiences: [vllm]', ''), ISTIO, /audiences .*has no audiences/],
    ['no strips', unchanged, ISTIO.slice(0, 2), /strips .*x-llm-d-\*.*x-session-id/],
    [
      'one strip less',
      text => text.replaceAll('target-pod', 'x-other'),
      ISTIO,
      /strips .*: target-pod(\n|$)/,
    ],
    [
      'a header that is not made',
      text => text.replace('- { header: x-tenant-id, claim: tenant }', ''),
      ISTIO,
      /headers .*\{ header: x-tenant-id, claim: tenant \}/,
    ],
    [
      'another issuer',
      text => text.replaceAll(issuer, `${issuer}/`),
      ISTIO,
      /istio +no jwtRule has exactly the issuer/,
    ],
  ])('warns of %s in Istio files, and ends with 5', async (_, change, files, expected) => {
    const { code, stdout } = await doctor(...(await istioFiles(change, files)))
    expect(code).toBe(5)
    expect(stdout).toMatch(new RegExp(`FAULT +${expected.source}`))
  })

  it.each([
    ['first', [3, 0]],
    ['last', [0, 3]],
  ])('reports the worst value of a metric with labels, which is the %s', async (_, values) => {
    const lines = values.map((value, at) => `mintmark_untrusted_rows{kind="kind_${at}"} ${value}`)
    const { code, stdout } = await doctorOf('--ops', (req, res) => {
      const isReady = req.url === '/readyz'
      res.setHeader('content-type', isReady ? 'application/json' : 'text/plain')
      res.end(isReady ? '{"status":"ready","version":"1.0.0"}' : `${lines.join('\n')}\n`)
    })
    expect(code).toBe(5)
    expect(stdout).toMatch(/FAULT +sealed rows +3 rows/)
  })

  it.each<[string, (keys: object[]) => object[], number, RegExp]>([
    ['all keys', keys => keys, 0, /ok +gateway keys .*has all published keys/],
    [
      'not all keys',
      keys => keys.slice(1),
      5,
      /FAULT +gateway keys .*lacks published keys: [\w-]{43}, and rejects/,
    ],
    // pilot/pkg/model/jwks_resolver.go: PublicOnlyJwks
    [
      'the placeholder of istiod',
      () => [{ kty: 'RSA', e: 'AQAB', n: 'AA' }],
      5,
      /FAULT +gateway keys .*placeholder key of istiod/,
    ],
    ['no keys', () => [], 5, /FAULT +gateway keys .*has no keys/],
  ])('compares the keys of a gateway, and of an object: %s', async (_, change, code, expected) => {
    const { keys } = (await (await fetch(`${issuer}/.well-known/jwks.json`)).json()) as { keys: object[] }
    const jwks = JSON.stringify({ keys: change(keys) })
    const dump = join(folder, 'config-dump.json')
    const provider = { issuer, local_jwks: { inline_string: jwks } }
    await writeFile(
      dump,
      JSON.stringify({ configs: [{ filters: [{ providers: { 'origins-0': provider } }] }] }),
    )
    const inGateway = await doctor('--envoy', dump)
    expect(inGateway).toMatchObject({ code, stdout: expect.stringMatching(expected) })
    const inline = (text: string) => text.replace(/jwksUri: .*/, `jwks: '${jwks}'`)
    const inObject = await doctor(...(await istioFiles(inline)))
    expect(inObject).toMatchObject({ code, stdout: expect.stringMatching(expected) })
  })

  it('reports an object that sync wrote and another tool has replaced', async () => {
    const annotated = (text: string) =>
      text.replace(
        /^ {2}name: mintmark$/m,
        '$&\n  annotations: { mintmark/jwks-modified: "2026-11-29T10:00:00.000Z" }',
      )
    const { code, stdout } = await doctor(...(await istioFiles(annotated)))
    expect(code).toBe(5)
    expect(stdout).toMatch(/FAULT +sync +another tool has replaced the rules that mintmark sync wrote/)
    const { keys } = (await (await fetch(`${issuer}/.well-known/jwks.json`)).json()) as { keys: object[] }
    const inline = (text: string) =>
      annotated(text).replace(/jwksUri: .*/, `jwks: '${JSON.stringify({ keys })}'`)
    expect((await doctor(...(await istioFiles(inline)))).code).toBe(0)
  })

  it('reports that a gateway has no provider of the issuer, and what a dump is', async () => {
    const dump = join(folder, 'config-dump.json')
    await writeFile(dump, '{"configs":[]}')
    expect((await doctor('--envoy', dump)).stdout).toMatch(/FAULT +gateway keys .*no provider of jwt_authn/)
    await writeFile(dump, 'text')
    expect(await doctor('--envoy', dump)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('/config_dump'),
    })
  })

  it('reports why a token does not verify', async () => {
    const bad = join(folder, 'bad')
    const text = await readFile(token, 'utf8')
    await writeFile(bad, withAnotherSignature(text))
    const { code, stdout } = await doctor('--token', bad)
    expect(code).toBe(5)
    expect(stdout).toMatch(/FAULT +token +it does not verify: its signature does not match the published key/)
    const [header, claims, signature] = text.trim().split('.')
    const changed = { ...JSON.parse(Buffer.from(claims ?? '', 'base64url').toString()), iss: 'https://other' }
    await writeFile(
      bad,
      [header, Buffer.from(JSON.stringify(changed)).toString('base64url'), signature].join('.'),
    )
    expect((await doctor('--token', bad)).stdout).toMatch(
      /FAULT +token +it does not verify: its issuer is "https:\/\/other", and not "http:\/\/localhost:\d+"/,
    )
  })

  it('reports a token that verifies and is revoked', async () => {
    const { secret } = await service.tenantWithKey()
    const { body } = await service.token({ grant_type: 'client_credentials', client_secret: secret })
    const file = join(folder, 'revoked-token')
    await writeFile(file, body.access_token)
    expect((await doctor('--token', file)).stdout).toMatch(/ok +token +the check accepts it/)
    await cli.attempt(['token', 'revoke', '--token-file', file, '--yes'])
    const { code, stdout, stderr } = await doctor('--token', file)
    expect(code).toBe(5)
    expect(stdout).toMatch(/ok +token +signature, type, issuer and expiry are valid/)
    expect(stdout).toMatch(/FAULT +token +the check refuses it: token_revoked/)
    expect(stderr).toMatch(/token: The token was revoked before its expiry/)
  })

  it('reports that nothing answers', async () => {
    const nobody = `http://127.0.0.1:${await freePort()}`
    const { code, stdout } = await cli.attempt(['doctor', '--issuer', nobody])
    expect(code).toBe(5)
    expect(stdout).toMatch(/FAULT +discovery /)
    const quiet = await cli.attempt(['doctor', '--issuer', nobody, '-q'])
    expect(quiet).toMatchObject({ code: 5, stdout: 'discovery\n' })
    expect(quiet.stderr).toMatch(
      /\n {2}discovery: no connection to .* \(ECONNREFUSED\)\. .*--connect-to\.\n$/,
    )
  })

  it('with JSON the findings are an array, and -q prints only problems', async () => {
    const { stdout } = await doctor('-o', 'json')
    expect(JSON.parse(stdout)).toContainEqual({ level: 'ok', check: 'etag', message: 'strong', cure: null })
    expect(await doctor('-q')).toMatchObject({ code: 0, stdout: '' })
  })
})

describe('mintmark doctor with a faulty issuer', () => {
  const key = { kty: 'EC', crv: 'P-256', x: 'x', y: 'y', kid: 'one', alg: 'ES256', use: 'sig' }
  it.each<
    [string, { jwks?: object; headers?: Record<string, string>; issuer?: string; date?: string }, RegExp]
  >([
    [
      'another issuer in the metadata',
      { issuer: 'http://other' },
      /issuer +the metadata has "http:\/\/other"/,
    ],
    ['an empty set', { jwks: { keys: [] } }, /jwks +the set is empty/],
    ['no list of keys', { jwks: { error: 'no' } }, /jwks +.* without a list of keys/],
    ['a private key', { jwks: { keys: [{ ...key, d: 'd' }] } }, /jwks +a PRIVATE key/],
    ['one key of an algorithm', { jwks: { keys: [key] } }, /succession +only one key of ES256/],
    ['no Cache-Control', { headers: { 'cache-control': '' } }, /caching +.*no max-age/],
    [
      'a lead of six minutes',
      { headers: { 'cache-control': 'max-age=30' } },
      /caching +max-age is 30 s, .* less than 372 s .*too short for Envoy.*Istio/,
    ],
    [
      'a lead of less than an hour',
      { headers: { 'cache-control': 'max-age=299' } },
      /caching +max-age is 299 s, .* less than 3600 s .*too short for Istio/,
    ],
    ['a key without its alg', { jwks: { keys: [{ ...key, alg: undefined }, key] } }, /jwks +1 keys lack /],
    ['no strong ETag', { headers: { etag: 'W/"1"' } }, /etag +no strong ETag/],
    [
      'a clock that differs',
      { date: new Date(Date.now() - 60_000).toUTCString() },
      /clock +this host is \d+ s ahead/,
    ],
  ])('%s', async (_, given, expected) => {
    const { code, stdout } = await doctorOf('--issuer', (req, res) => {
      const base = `http://${req.headers.host}`
      res.setHeader('content-type', 'application/json')
      if (given.date) res.setHeader('date', given.date)
      const headers = { 'cache-control': 'public, max-age=300', etag: '"1"', ...given.headers }
      for (const [name, value] of Object.entries(headers)) if (value) res.setHeader(name, value)
      const jwks = given.jwks ?? { keys: [key, { ...key, kid: 'two' }] }
      const metadata = { issuer: given.issuer ?? base, jwks_uri: `${base}/keys` }
      res.end(JSON.stringify(req.url === '/keys' ? jwks : metadata))
    })
    expect(code).toBe(5)
    expect(stdout).toMatch(new RegExp(`FAULT +${expected.source}`))
  })
})
