import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { jws, newPair } from '../identity-providers/assertions.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { cliOf } from './mintmark.ts'

const ISSUER = 'https://issuer.example.com'
const AUDIENCE = 'https://tokens.example.com'
const pair = newPair('one')

let service: TestService
let cli: ReturnType<typeof cliOf>
let folder: string
let provider: string
let key: string
let credential: string

beforeAll(async () => {
  service = await startTestService()
  cli = cliOf(service)
  folder = await mkdtemp(join(tmpdir(), 'mintmark-identity-'))
  key = (await service.tenantWithKey({ id: 'acme' })).keyId
})
afterAll(async () => {
  await service.stop()
  await rm(folder, { recursive: true })
})

async function fileWith(content: unknown): Promise<string> {
  const path = join(folder, crypto.randomUUID())
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content))
  return path
}
const run = (...args: string[]) => cli.attempt(['identity', ...args])
const json = async (...args: string[]) => {
  const { code, stdout, stderr } = await run(...args, '-o', 'json')
  expect(code, stderr).toBe(0)
  return JSON.parse(stdout)
}

describe('mintmark identity', () => {
  it('creates, changes, shows and lists identity providers', async () => {
    const settings = { kind: 'oidc', issuer: ISSUER, audiences: [AUDIENCE], jwks: { keys: [pair.jwk] } }
    provider = (await json('create', '--file', await fileWith(settings))).id
    expect(provider).toMatch(/^idp_/)
    const changed = await json('update', provider, '--file', await fileWith({ name: 'renamed' }))
    expect(changed).toMatchObject({ id: provider, name: 'renamed', issuer: ISSUER })
    expect(await json('get', provider)).toMatchObject({ name: 'renamed' })
    expect((await run('providers', '-q')).stdout).toBe(`${provider}\n`)
    expect((await run('providers')).stdout).toMatch(/^ID +NAME +KIND +ISSUER +UPDATED *\n/)
  })

  it('adds and lists credentials of a key', async () => {
    const rule = { type: 'federated', provider, subject: 'robot' }
    credential = (await json('add-credential', key, '--file', await fileWith(rule))).id
    expect(await json('credentials', key)).toMatchObject([{ id: credential, provider, subject: 'robot' }])
  })

  it.each([
    ['a rule that accepts too much', () => ['add-credential', key], { type: 'federated' }, 5, 'invalid'],
    ['no JSON', () => ['create'], 'nothing', 2, 'is not a JSON object'],
    ['a list', () => ['create'], '[]', 2, 'is not a JSON object'],
    ['an unknown provider', () => ['update', 'idp_0000000000000000'], {}, 4, 'Unknown identity provider'],
  ])('reports %s', async (_, args, content, code, words) => {
    const refused = await run(...args(), '--file', await fileWith(content))
    expect(refused).toMatchObject({ code, stdout: '', stderr: expect.stringContaining(words) })
  })
})

describe('mintmark identity explain', () => {
  const token = (changed: object = {}, by = pair) => {
    const exp = Math.floor(Date.now() / 1000) + 600
    return jws(
      by,
      { alg: 'ES256', kid: 'one' },
      { iss: ISSUER, aud: AUDIENCE, sub: 'robot', exp, ...changed },
    )
  }
  const explain = async (assertion: string, ...args: string[]) => {
    const { code, stdout, stderr } = await cli.attempt(
      ['identity', 'explain', '-o', 'json', ...args],
      assertion,
    )
    return { code, stderr, ...JSON.parse(stdout) }
  }

  it('names the provider, the credential and the key', async () => {
    expect(await explain(token())).toEqual({
      code: 0,
      stderr: '',
      accepted: true,
      reason: null,
      provider,
      subject: 'robot',
      credentials: [credential],
      key,
      tenant: 'acme',
    })
    expect((await cli.attempt(['identity', 'explain', '-q'], token())).stdout).toBe(`${key}\n`)
  })

  it.each<[string, () => string, string, object]>([
    ['of another subject', () => token({ sub: 'other' }), 'no_credential_matches', { subject: 'other' }],
    ['that has expired', () => token({ exp: 1 }), 'assertion_expired', { subject: null }],
    ['for another audience', () => token({ aud: 'x' }), 'assertion_audience', { provider: null }],
    ['of another key', () => token({}, newPair('one')), 'assertion_signature', { subject: null }],
  ])('says why one %s is not accepted', async (_, assertion, reason, about) => {
    const explained = await explain(assertion())
    expect(explained).toMatchObject({ code: 3, accepted: false, reason, key: null, ...about })
    expect(explained.stderr).toContain(`the exchange would be rejected: ${reason}.`)
  })

  it('says that the client names another key, or that the key is disabled', async () => {
    expect(await explain(token(), '--client', 'key_0000000000000000')).toMatchObject({
      reason: 'not_as_expected',
    })
    await service.admin('POST', `/keys/${key}/disable`)
    expect(await explain(token())).toMatchObject({ reason: 'key_disabled', key, credentials: [credential] })
    await service.admin('POST', `/keys/${key}/enable`)
  })

  it('issues nothing, and neither logs nor stores the token', async () => {
    const assertion = token()
    const { body: before } = await service.admin('GET', `/keys/${key}/credentials`)
    await explain(assertion)
    const { body: after } = await service.admin('GET', `/keys/${key}/credentials`)
    expect(after).toEqual(before)
    const [, claims = ''] = assertion.split('.')
    expect(service.logs.filter(line => line.includes(claims))).toEqual([])
    const { text } = await service.admin('GET', '/audit-events?limit=100')
    expect(text).not.toContain(claims)
  })
})

it('mintmark identity deletes credentials and providers', async () => {
  expect((await run('delete', provider)).code).toBe(5)
  expect(await run('delete-credential', key, credential)).toMatchObject({ code: 0 })
  expect(await run('delete', provider)).toMatchObject({ code: 0 })
  expect(await json('providers')).toEqual([])
})
