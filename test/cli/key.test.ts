import { existsSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestService, type TestService } from '../support/test-service.ts'
import { cliOf, shell } from './mintmark.ts'

const SECRET = /mmk_[0-9A-Za-z]{16}_[0-9A-Za-z]{49}/

let service: TestService
let cli: ReturnType<typeof cliOf>

beforeAll(async () => {
  service = await startTestService()
  cli = cliOf(service)
  await service.admin('PUT', '/models/llama-3-8b', {})
  await service.admin('PUT', '/adapters/acme-sql', { base_model: 'llama-3-8b' })
  await service.admin('POST', '/tenants', {
    id: 'acme',
    allowed_tiers: ['standard', 'batch'],
    adapters: ['acme-sql'],
  })
})
afterAll(() => service.stop())

const newKey = async () =>
  (await service.admin('POST', '/tenants/acme/keys', {})).body as { id: string; secret_id: string }

describe('a new secret', () => {
  it('is alone on standard output after create, once, and works', async () => {
    const { code, stdout, stderr } = await cli.attempt(['key', 'create', 'acme', '--name', 'ci'])
    expect(code).toBe(0)
    expect(stdout).toMatch(new RegExp(`^${SECRET.source}\n$`))
    expect(stderr).toMatch(/^Created key_\w+ for the tenant acme\. It expires .*cannot be shown again\.\n$/)
    expect(stderr).not.toMatch(SECRET)
    expect(
      (await service.token({ grant_type: 'client_credentials', client_secret: stdout.trim() })).status,
    ).toBe(200)
  })

  it.each([
    ['create', async () => ['key', 'create', 'acme']],
    ['rotate', async () => ['key', 'rotate', (await newKey()).id]],
  ])('is the only output of %s -q, and a field of the object in JSON', async (_, command) => {
    const quiet = await cli.attempt([...(await command()), '-q'])
    expect(quiet).toEqual({
      code: 0,
      stdout: expect.stringMatching(new RegExp(`^${SECRET.source}\n$`)),
      stderr: '',
    })
    const json = await cli.attempt([...(await command()), '-o', 'json'])
    expect({ code: json.code, stderr: json.stderr }).toEqual({ code: 0, stderr: '' })
    expect(json.stdout.match(new RegExp(SECRET, 'g'))).toHaveLength(1)
    expect(JSON.parse(json.stdout)).toMatchObject({ tenant: 'acme', secret: expect.stringMatching(SECRET) })
  })

  it('is never shown by the other commands', async () => {
    const { id } = await newKey()
    for (const args of [
      ['get', id],
      ['list'],
      ['update', id, '--name', 'x'],
      ['disable', id],
      ['revoke', id],
    ]) {
      for (const format of ['table', 'json']) {
        const { code, stdout, stderr } = await cli.attempt(['key', ...args, '-o', format])
        expect(code, stderr).toBe(0)
        expect(stdout + stderr).not.toMatch(SECRET)
      }
    }
  })

  it.each<[string, string, string]>([
    ['a reader that is gone', 'exec 3> >(true); wait $!; mintmark key create acme >&3', 'EPIPE'],
    ...(existsSync('/dev/full')
      ? [['a full disk', 'mintmark key create acme > /dev/full', 'ENOSPC'] as [string, string, string]]
      : []),
  ])('that is lost to %s is a fault that says how to revoke it', async (_, line, code) => {
    const lost = await shell(line, { env: cli.env })
    expect(lost.code).toBe(1)
    expect(lost.stderr).toContain(`could not be written to standard output (${code})`)
    const [, key, secret] = /mintmark key revoke-secret (key_\w+) (sec_\w+)/.exec(lost.stderr) ?? []
    await cli.run('key', 'revoke-secret', String(key), String(secret))
    expect((await service.admin('GET', `/keys/${key}`)).body.secrets[0].state).toBe('revoked')
  })
})

describe('mintmark key', () => {
  it('create sends every option to its field', async () => {
    const expires = new Date(Date.now() + 86_400_000).toISOString()
    const made = await cli.json(
      ...[
        'key',
        'create',
        'acme',
        '--name',
        'all',
        '--description',
        'd',
        '--tier',
        'batch',
        '--scope',
        'inference',
      ],
      ...['--no-model', '--adapter', 'acme-sql', '--audience', 'vllm', '--token-ttl-seconds', '90'],
      ...['--expires-at', expires, '--label', 'a=b'],
    )
    expect(made).toMatchObject({
      name: 'all',
      description: 'd',
      tier: 'batch',
      scopes: ['inference'],
      models: [],
      adapters: ['acme-sql'],
      audiences: ['vllm'],
      token_ttl_seconds: 90,
      expires_at: expires,
      labels: { a: 'b' },
    })
  })

  it('get shows settings, effective rights and secrets', async () => {
    const { id, secret_id } = await newKey()
    const shown = await cli.run('key', 'get', id)
    expect(shown).toMatch(/^tier +inherited from the tenant$/m)
    expect(shown).toMatch(/^effective\.tier +standard$/m)
    expect(shown).toMatch(
      new RegExp(`\n\nsecrets\nID +STATE +CREATED +ENDS +LAST USED +CREATED BY\n${secret_id} +live `),
    )
    expect(await cli.json('key', 'get', id)).toEqual((await service.admin('GET', `/keys/${id}`)).body)
  })

  it('list shows one tenant, or all', async () => {
    await service.admin('POST', '/tenants', { id: 'other' })
    const { body } = await service.admin('POST', '/tenants/other/keys', { name: 'theirs' })
    expect(await cli.run('key', 'list', 'other', '-q')).toBe(`${body.id}\n`)
    expect((await cli.run('key', 'list', '-q', '--limit', '2')).split('\n')[0]).toBe(body.id)
    expect(await cli.run('key', 'list', 'other')).toMatch(
      /^ID +TENANT +NAME +STATE +EXPIRES +LAST USED +CONTACT +CREATED BY\nkey_\w+ +other +theirs +active/,
    )
    expect(await cli.json('key', 'list', 'other')).toEqual(
      (await service.admin('GET', '/tenants/other/keys')).body.data,
    )
  })

  it('update changes the given settings; --unset inherits the tenant’s again', async () => {
    const { id } = await newKey()
    expect(await cli.json('key', 'update', id, '--tier', 'batch', '--adapter', 'acme-sql')).toMatchObject({
      tier: 'batch',
      adapters: ['acme-sql'],
      effective: { tier: 'batch', priority: 10 },
    })
    expect(await cli.json('key', 'update', id, '--unset', 'tier', '--no-adapter')).toMatchObject({
      tier: null,
      adapters: [],
    })
  })

  it('rotate gives the old secret its overlap, and --replace ends one of two', async () => {
    const { id, secret_id } = await newKey()
    const first = await cli.json('key', 'rotate', id, '--overlap-seconds', '60')
    expect(first.secrets).toMatchObject([{ state: 'live' }, { id: secret_id, state: 'ending' }])
    const refused = await cli.attempt(['key', 'rotate', id])
    expect(refused).toMatchObject({ code: 5, stdout: '' })
    expect(refused.stderr).toContain('--replace oldest')
    const second = await cli.json('key', 'rotate', id, '--replace', 'oldest')
    expect(second.secrets.map((secret: { state: string }) => secret.state)).toEqual([
      'live',
      'ending',
      'ended',
    ])
  })

  it('rotate waits for confirm-secret before the overlap of the previous secret begins', async () => {
    const { id } = await cli.json('key', 'create', 'acme')
    const waiting = ['--confirm-within-seconds', '600', '--overlap-seconds', '60']
    const { secret_id: secret } = await cli.json('key', 'rotate', id, ...waiting)
    const states = ({ secrets }: { secrets: { state: string; confirm_by: string | null }[] }) =>
      secrets.map(({ state, confirm_by }) => [state, confirm_by !== null])
    expect(states(await cli.json('key', 'get', id))).toEqual([
      ['live', true],
      ['live', false],
    ])
    expect(states(await cli.json('key', 'confirm-secret', id, secret))).toEqual([
      ['live', false],
      ['ending', false],
    ])
  })

  it('disable, enable, revoke and revoke-secret print the new state', async () => {
    const { id, secret_id } = await newKey()
    expect(await cli.run('key', 'disable', id, '--verbose')).toMatch(/^state +disabled$/m)
    expect(await cli.run('key', 'enable', id, '--verbose')).toMatch(/^state +active$/m)
    expect((await cli.json('key', 'revoke-secret', id, secret_id)).secrets).toMatchObject([
      { state: 'revoked' },
    ])
    const revoked = await cli.json('key', 'revoke', id, '--reason', 'found in a log')
    expect(revoked).toMatchObject({ state: 'revoked', revoked_reason: 'found in a log' })
    expect(await cli.attempt(['key', 'enable', id])).toMatchObject({
      code: 5,
      stderr: expect.stringContaining('revoked permanently'),
    })
  })

  it.each(['.', '..', ''])('revoke-secret rejects %j, which would name the key itself', async segment => {
    const { id } = await newKey()
    expect(await cli.attempt(['key', 'revoke-secret', id, segment])).toMatchObject({ code: 2, stdout: '' })
    expect((await service.admin('GET', `/keys/${id}`)).body.state).toBe('active')
  })
})
