import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { issue } from '../admin/admins.ts'
import { jws, newPair } from '../identity-providers/assertions.ts'
import { freePort } from '../support/free-port.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { cliOf, mintmark, type Outcome, shell } from './mintmark.ts'

const ISSUER = 'https://tokens.example.test'
/** An unused port. */
const closed = await freePort()
const JWT = /^eyJ[\w-]+\.[\w-]+\.[\w-]+\n$/

let service: TestService
let cli: ReturnType<typeof cliOf>
let folder: string
let secret: string
let jwt: string
let jwks: string

beforeAll(async () => {
  service = await startTestService({ env: { MINTMARK_ISSUER: ISSUER } })
  cli = cliOf(service)
  folder = await mkdtemp(join(tmpdir(), 'mintmark-cli-'))
  const tenant = { id: 'acme', tier: 'premium', audiences: ['vllm', 'other'] }
  secret = (await service.tenantWithKey(tenant)).secret
  jwt = (await service.token({ grant_type: 'client_credentials', client_secret: secret })).body.access_token
  jwks = `${service.service.urls.public}/.well-known/jwks.json`
})
afterAll(async () => {
  await service.stop()
  await rm(folder, { recursive: true })
})

const exchange = (args: string[], env: Record<string, string> = {}, input = '') =>
  mintmark(['token', 'get', ...args], { env: { ...cli.env, ...env }, input })

describe('mintmark token get', () => {
  it.each<[string, () => Promise<Outcome>]>([
    ['MINTMARK_API_KEY', () => exchange([], { MINTMARK_API_KEY: secret })],
    ['standard input', () => exchange([], {}, `${secret}\n`)],
    [
      '--key-file -, before the variable',
      () => exchange(['--key-file', '-'], { MINTMARK_API_KEY: 'other' }, secret),
    ],
    ['--key-file', async () => exchange(['--key-file', await fileWith(`${secret}\n`)])],
    ['MINTMARK_API_KEY_FILE', async () => exchange([], { MINTMARK_API_KEY_FILE: await fileWith(secret) })],
  ])('takes the key from %s and prints the token alone', async (_, run) => {
    expect(await run()).toEqual({ code: 0, stdout: expect.stringMatching(JWT), stderr: '' })
  })

  it('needs no admin token', async () => {
    const env = { MINTMARK_PUBLIC_URL: service.service.urls.public }
    expect(await shell('mintmark token get', { env, input: secret })).toMatchObject({ code: 0 })
  })

  it('prints the whole response in JSON', async () => {
    const { stdout } = await exchange(['-o', 'json'], {}, secret)
    expect(JSON.parse(stdout)).toEqual({
      access_token: expect.stringMatching(/^eyJ/),
      token_type: 'Bearer',
      expires_in: 300,
      scope: 'inference',
    })
  })

  it('requests scope and audience', async () => {
    const { stdout } = await exchange(['--scope', 'inference', '--audience', 'other'], {}, secret)
    expect(claimsOf(stdout.trim())).toMatchObject({ scope: 'inference', aud: 'other' })
  })

  it.each([
    ['a wrong key', [], 'mmk_wrong', 3, 'invalid_client'],
    ['an audience that the key has not', ['--audience', 'foreign'], '', 5, 'invalid_target'],
    ['a scope that the key has not', ['--scope', 'admin'], '', 5, 'invalid_scope'],
    ['no key at all', [], '\n', 2, 'no API key: standard input is empty'],
    ['two words', [], 'mmk_a b\n', 2, 'the API key must be one word'],
  ])('reports %s in the words of the service', async (_, args, input, code, words) => {
    const refused = await exchange(args, {}, input || secret)
    expect(refused).toMatchObject({ code, stdout: '', stderr: expect.stringContaining(words) })
    expect(refused.stderr).not.toContain(secret)
  })

  it('reports a suspended tenant with exit code 3', async () => {
    await service.admin('POST', '/tenants/acme/suspend')
    const refused = await exchange([], {}, secret)
    await service.admin('POST', '/tenants/acme/resume')
    expect(refused).toMatchObject({ code: 3, stderr: expect.stringContaining('unauthorized_client') })
  })
})

describe('mintmark token get of an identity token', () => {
  const CLUSTER = 'https://kubernetes.default.svc.cluster.local'
  const pair = newPair('one')
  const identityToken = (changed: object = {}) => {
    const exp = Math.floor(Date.now() / 1000) + 600
    const claims = { iss: CLUSTER, aud: ISSUER, sub: 'system:serviceaccount:acme:ci', exp, ...changed }
    return jws(pair, { alg: 'ES256', kid: 'one' }, claims)
  }
  const get = (...args: string[]) => cli.attempt(['token', 'get', ...args])
  let key: string
  beforeAll(async () => {
    const settings = { kind: 'kubernetes', issuer: CLUSTER, audiences: [ISSUER], jwks: { keys: [pair.jwk] } }
    const { body } = await service.admin('POST', '/identity-providers', settings)
    const credential = { type: 'federated', provider: body.id, subject: 'system:serviceaccount:acme:ci' }
    key = (await service.admin('POST', '/tenants/acme/workload-keys', { credential })).body.key
  })

  it('reads it from a file, or from standard input', async () => {
    const file = await fileWith(`${identityToken()}\n`)
    const { code, stdout, stderr } = await get('--from-file', file)
    expect([code, stderr]).toEqual([0, ''])
    expect(claimsOf(stdout.trim())).toMatchObject({ sub: key, tenant: 'acme' })
    expect(await cli.attempt(['token', 'get', '--from-file', '-'], identityToken())).toMatchObject({
      code: 0,
    })
  })

  it('names the key that it expects to be', async () => {
    const file = await fileWith(identityToken())
    expect(await get('--from-file', file, '--client', key)).toMatchObject({ code: 0 })
    const other = await get('--from-file', file, '--client', 'key_0000000000000000')
    expect(other).toMatchObject({
      code: 5,
      stdout: '',
      stderr: expect.stringContaining('Invalid subject_token.'),
    })
  })

  it.each([
    ['a file without a JWT', async () => ['--from-file', await fileWith('hello')], 2, 'is not a JWT'],
    ['a file that is absent', async () => ['--from-file', join(folder, 'absent')], 2, 'ENOENT'],
    [
      'an assertion that is refused',
      async () => ['--from-file', await fileWith(identityToken({ sub: 'x' }))],
      5,
      'Invalid subject_token.',
    ],
    ['a job without the right', async () => ['--from-github'], 2, 'id-token: write'],
    ['two sources', async () => ['--from-github', '--from-file', 'x'], 2, 'cannot be used with'],
    ['a key as well', async () => ['--key-file', 'x', '--from-file', 'x'], 2, 'cannot be used with'],
  ])('reports %s', async (_, args, code, words) => {
    const refused = await get(...(await args()))
    expect(refused).toMatchObject({ code, stdout: '', stderr: expect.stringContaining(words) })
  })

  it('requests the token of a job of GitHub Actions, for the audience', async () => {
    const requests: unknown[] = []
    let answer: { status: number; body: object } = { status: 200, body: {} }
    const github = createServer((req, res) => {
      requests.push([req.url, req.headers.authorization])
      res.writeHead(answer.status, { 'content-type': 'application/json' }).end(JSON.stringify(answer.body))
    })
    await new Promise<void>(done => github.listen(0, '127.0.0.1', done))
    const { port } = github.address() as AddressInfo
    const env = {
      ...cli.env,
      ACTIONS_ID_TOKEN_REQUEST_URL: `http://127.0.0.1:${port}/token?api-version=2.0`,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'of-the-job',
    }
    const run = () => mintmark(['token', 'get', '--from-github', '--identity-audience', ISSUER], { env })
    answer = { status: 200, body: { value: identityToken() } }
    expect(await run()).toEqual({ code: 0, stdout: expect.stringMatching(JWT), stderr: '' })
    const audience = encodeURIComponent(ISSUER)
    expect(requests).toEqual([[`/token?api-version=2.0&audience=${audience}`, 'Bearer of-the-job']])
    answer = { status: 403, body: {} }
    const refused = await run()
    github.close()
    expect(refused).toMatchObject({
      code: 3,
      stdout: '',
      stderr: expect.stringContaining('GitHub answers 403'),
    })
    expect(refused.stderr).not.toContain('of-the-job')
  })
})

describe('mintmark token inspect', () => {
  it('shows a token from a pipe, and says that nothing was verified', async () => {
    const { code, stdout, stderr } = await shell('mintmark token get | mintmark token inspect', {
      env: cli.env,
      input: secret,
    })
    expect(code).toBe(0)
    expect(stdout).toMatch(/^header\nalg +ES256\nkid +\S+\ntyp +at\+jwt\n\nclaims\n/)
    expect(stdout).toMatch(/^priority +-10$/m)
    expect(stdout).toMatch(/^exp +\d+ {2}\(\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ, in \d+ s\)$/m)
    expect(stderr).toContain('NOT VERIFIED')
  })

  it.each([
    ['a file', async () => [await fileWith(jwt)], () => ''],
    ['an answer of the token endpoint', async () => [], () => JSON.stringify({ access_token: jwt })],
    ['the value of an Authorization header', async () => ['-'], () => `Bearer ${jwt}`],
  ])('reads %s', async (_, args, input) => {
    const { stdout } = await cli.attempt(['token', 'inspect', ...(await args()), '-o', 'json'], input())
    expect(JSON.parse(stdout)).toEqual({
      header: { alg: 'ES256', typ: 'at+jwt', kid: expect.any(String) },
      claims: claimsOf(jwt),
      verification: { verified: false, keys: null, issuer: null, audience: null },
    })
  })

  it('verifies with the published keys, issuer and audience', async () => {
    const args = ['token', 'inspect', '--jwks', jwks, '--issuer', ISSUER, '--audience', 'vllm']
    const { code, stderr } = await cli.attempt(args, jwt)
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: `\nVerified with ${jwks}: signature, type and expiry are valid.\n`,
    })
    const { stdout } = await cli.attempt([...args, '-o', 'json'], jwt)
    expect(JSON.parse(stdout).verification).toEqual({
      verified: true,
      keys: jwks,
      issuer: ISSUER,
      audience: 'vllm',
    })
  })

  it('reports what it could not compare', async () => {
    const { code, stderr } = await cli.attempt(['token', 'inspect', '--jwks', jwks], jwt)
    expect({ code, stderr }).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('Not compared: "iss" (--issuer), "aud" (--audience)'),
    })
  })

  it('-q prints the token’s id', async () => {
    expect(await cli.attempt(['token', 'inspect', '-q'], jwt)).toEqual({
      code: 0,
      stdout: `${claimsOf(jwt).jti}\n`,
      stderr: '',
    })
  })

  const tampered = () => {
    const [header, , signature] = jwt.split('.')
    const claims = { ...claimsOf(jwt), priority: '-999' }
    return [header, Buffer.from(JSON.stringify(claims)).toString('base64url'), signature].join('.')
  }
  it.each([
    ['a tampered token', tampered, [], 'its signature does not match'],
    ['a token without a signature', () => `${jwt.slice(0, jwt.lastIndexOf('.'))}.`, [], 'does not verify'],
    [
      'an unsigned token (alg none)',
      () => `${Buffer.from('{"alg":"none"}').toString('base64url')}.${jwt.split('.')[1]}.`,
      [],
      'does not verify',
    ],
    [
      'another issuer',
      () => jwt,
      ['--issuer', 'https://other.example.test'],
      'and not "https://other.example.test"',
    ],
    ['another audience', () => jwt, ['--audience', 'foreign'], 'its audience is "vllm", and not "foreign"'],
  ])('shows nothing of %s when verification was requested', async (_, token, args, why) => {
    const refused = await cli.attempt(['token', 'inspect', '--jwks', jwks, ...args], token())
    expect(refused).toMatchObject({ code: 3, stdout: '', stderr: expect.stringContaining(why) })
  })

  it.each([
    ['text that is no token', 'hello', [], 2],
    ['an encrypted token (five parts)', 'eyJhbGciOiJkaXIifQ..a.b.c', [], 2],
    ['--audience without keys', '', ['--audience', 'vllm'], 2],
    ['a --jwks that is no URL', '', ['--jwks', 'keys.json'], 2],
    ['keys that cannot be fetched', '', ['--jwks', `http://127.0.0.1:${closed}/jwks.json`], 6],
    ['an issuer without a server', '', ['--issuer', `http://127.0.0.1:${closed}`], 6],
  ])('ends at %s with a sentence', async (_, input, args, code) => {
    const ended = await cli.attempt(['token', 'inspect', ...args], input || jwt)
    expect(ended).toMatchObject({ code, stdout: '', stderr: expect.stringMatching(/^mintmark: .+\n/) })
  })

  it('finds the keys through the metadata of --issuer, which must name that issuer', async () => {
    const served = await cli.attempt(['token', 'inspect', '--issuer', service.service.urls.public], jwt)
    expect(served).toMatchObject({
      code: 3,
      stderr: expect.stringContaining(`names the issuer "${ISSUER}", and not "`),
    })
    const port = await freePort()
    const own = await startTestService({
      env: { MINTMARK_ISSUER: `http://127.0.0.1:${port}`, MINTMARK_PUBLIC_PORT: `${port}` },
    })
    const made = await own.tenantWithKey()
    const { body } = await own.token({ grant_type: 'client_credentials', client_secret: made.secret })
    const verified = await cli.attempt(
      ['token', 'inspect', '--issuer', own.service.urls.public],
      body.access_token,
    )
    await own.stop()
    expect(verified).toMatchObject({ code: 0, stderr: expect.stringContaining('Verified with') })
  })
})

async function fileWith(content: string): Promise<string> {
  const file = join(folder, `${content.length}-${Math.random()}`)
  await writeFile(file, content, { mode: 0o600 })
  return file
}

function claimsOf(token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'))
}

describe('mintmark token revoke', () => {
  const own = async () => service.tenantWithKey()
  const issued = async (client_secret: string): Promise<string> =>
    (await service.token({ grant_type: 'client_credentials', client_secret })).body.access_token
  const listed = async () => (await cli.json('token', 'revocations')) as { id: string; value: string }[]

  it('ends one token that it reads from standard input, by its jti', async () => {
    const token = await issued((await own()).secret)
    const { code, stdout, stderr } = await cli.attempt(['token', 'revoke', '--token-file', '-', '-q'], token)
    expect([code, stderr]).toEqual([0, ''])
    const { jti } = decodeJwt(token)
    expect(await listed()).toContainEqual(expect.objectContaining({ id: stdout.trim(), value: jti }))
  })

  it('ends all tokens of a key or a tenant, with a reason', async () => {
    const { keyId, tenantId } = await own()
    const ofKey = await cli.json('token', 'revoke', '--key', keyId, '--reason', 'laptop stolen')
    expect(ofKey).toMatchObject({ claim: 'key_epoch', key: keyId, reason: 'laptop stolen' })
    const ofTenant = await cli.json('token', 'revoke', '--tenant', tenantId)
    expect(ofTenant).toMatchObject({ claim: 'tenant_epoch', tenant: tenantId, key: null })
    expect((await listed()).slice(0, 2).map(({ id }) => id)).toEqual([ofTenant.id, ofKey.id])
    const table = await cli.run('token', 'revocations')
    expect(table).toMatch(/^ID +CLAIM +VALUE +KEY +TENANT +ENDS/)
    for (const { id, claim, value, key } of [ofKey, ofTenant])
      expect(table).toMatch(new RegExp(`^${id} +${claim} +${value} +${key ?? '-'} `, 'm'))
  })

  it.each([
    ['nothing', []],
    ['two of them', ['--key', 'key_0000000000000000', '--tenant', 'acme']],
  ])('needs one of its options, not %s', async (_, options) => {
    const { code, stderr } = await cli.attempt(['token', 'revoke', ...options])
    expect(code).toBe(2)
    expect(stderr).toContain('name what to revoke: one of --jti, --key, --tenant, --token-file')
  })

  it('--revoke-tokens ends the tokens with the change', async () => {
    const { keyId, tenantId } = await own()
    const before = (await listed()).length
    await cli.run('key', 'disable', keyId, '--revoke-tokens')
    await cli.run('key', 'update', keyId, '--requests-per-minute', '1', '--revoke-tokens')
    await cli.run('tenant', 'update', tenantId, '--requests-per-minute', '1', '--revoke-tokens')
    expect(await listed()).toHaveLength(before + 3)
  })

  it('writes the list for an Envoy that reads a file', async () => {
    const file = join(folder, 'list.json')
    await cli.run('token', 'revocations', '--envoy-file', file)
    const { resources } = JSON.parse(await readFile(file, 'utf8'))
    for (const { value } of await listed()) expect(JSON.stringify(resources)).toContain(value)
    const { code } = await cli.attempt(['token', 'revocations', '--envoy-file', join(folder, 'no', 'such')])
    expect(code).toBe(2)
  })

  it('does not write the list of one tenant for an Envoy', async () => {
    const { tenantId } = await own()
    const { secret } = await issue(service, 'tenant-admin', tenantId)
    const file = join(folder, 'of-a-tenant.json')
    const env = { ...cli.env, MINTMARK_ADMIN_TOKEN: secret }
    const { code, stderr } = await mintmark(['token', 'revocations', '--envoy-file', file], { env })
    expect([code, stderr]).toEqual([3, expect.stringContaining(`lists those of ${tenantId} only`)])
    await expect(readFile(file)).rejects.toThrow('ENOENT')
  })
})
