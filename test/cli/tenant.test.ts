import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestService, type TestService } from '../support/test-service.ts'
import { cliOf, mintmarkProcess } from './mintmark.ts'

let service: TestService
let cli: ReturnType<typeof cliOf>

beforeAll(async () => {
  service = await startTestService()
  cli = cliOf(service)
  await service.admin('PUT', '/models/llama-3-8b', {})
  await service.admin('PUT', '/adapters/acme-sql', { base_model: 'llama-3-8b' })
  await service.admin('PUT', '/adapters/acme-chat', { base_model: 'llama-3-8b' })
})
afterAll(() => service.stop())

describe('mintmark tenant', () => {
  it('create sends every option to its field, and prints the record', async () => {
    const { code, stdout, stderr } = await cli.attempt([
      ...['tenant', 'create', 'acme', '--name', 'Acme', '--description', 'first', '--tier', 'premium'],
      ...[
        '--allow-tier',
        'premium',
        '--allow-tier',
        'batch',
        '--scope',
        'inference',
        '--model',
        'llama-3-8b',
      ],
      ...['--adapter', 'acme-sql', '--audience', 'vllm', '--audience', 'other', '--token-ttl-seconds', '120'],
      ...['--requests-per-minute', '600', '--tokens-per-day', '1000000'],
      ...['--staleness-seconds', '0', '--label', 'team=core', '--label', 'note=a=b', '--verbose'],
    ])
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: 'Created the tenant acme. Its first key: mintmark key create acme\n',
    })
    expect(stdout).toMatch(/^id +acme$/m)
    expect(stdout).toMatch(/^allowed_tiers +premium, batch$/m)
    expect(stdout).toMatch(/^labels\.team +core$/m)
    expect(stdout).toMatch(/^limits\.requests_per_minute +600$/m)
    expect(stdout).toMatch(/^limits\.requests_per_day +the limit of the tenant's tier$/m)
    expect((await service.admin('GET', '/tenants/acme')).body).toMatchObject({
      name: 'Acme',
      description: 'first',
      tier: 'premium',
      allowed_tiers: ['premium', 'batch'],
      scopes: ['inference'],
      models: ['llama-3-8b'],
      adapters: ['acme-sql'],
      audiences: ['vllm', 'other'],
      token_ttl_seconds: 120,
      staleness_seconds: 0,
      limits: { requests_per_minute: 600, requests_per_day: null, tokens_per_day: 1_000_000 },
      labels: { team: 'core', note: 'a=b' },
    })
  })

  it('get -o json is the object of the API, byte for byte in its values', async () => {
    expect(await cli.json('tenant', 'get', 'acme')).toEqual(
      (await service.admin('GET', '/tenants/acme')).body,
    )
  })

  it('update changes only the given settings; --unset, --no-… and --remove-label remove', async () => {
    const before = (await service.admin('GET', '/tenants/acme')).body
    const adapters = ['--adapter', 'acme-sql', '--adapter', 'acme-chat']
    expect(await cli.json('tenant', 'update', 'acme', ...adapters)).toMatchObject({
      ...before,
      adapters: ['acme-sql', 'acme-chat'],
      updated_at: expect.any(String),
    })
    const away = [
      '--no-adapter',
      '--unset',
      'models',
      '--unset',
      'token-ttl-seconds',
      '--unset',
      'tokens-per-day',
      '--requests-per-day',
      '7',
      '--remove-label',
      'note',
    ]
    expect(await cli.json('tenant', 'update', 'acme', ...away, '--label', 'team=edge')).toMatchObject({
      adapters: [],
      models: null,
      token_ttl_seconds: null,
      staleness_seconds: 0,
      limits: { requests_per_minute: 600, requests_per_day: 7, tokens_per_day: null },
      labels: { team: 'edge' },
    })
  })

  it('a limit that is both set and unset, or out of range, is an error of its option', async () => {
    const both = ['--requests-per-day', '5', '--unset', 'requests-per-day']
    expect(await cli.attempt(['tenant', 'update', 'acme', ...both])).toMatchObject({ code: 2 })
    const { stderr } = await cli.attempt(['tenant', 'update', 'acme', '--tokens-per-minute', '0'])
    expect(stderr).toContain(
      '--tokens-per-minute (/limits/tokens_per_minute) must be a whole number from 1 to',
    )
  })

  it('suspend and resume print the new state', async () => {
    expect(await cli.run('tenant', 'suspend', 'acme', '--verbose')).toMatch(/^state +suspended$/m)
    expect(await cli.json('tenant', 'resume', 'acme')).toMatchObject({ id: 'acme', state: 'active' })
  })

  it('delete fails while keys are live and names --cascade, which revokes them', async () => {
    await service.admin('POST', '/tenants', { id: 'gone' })
    await service.admin('POST', '/tenants/gone/keys', {})
    const refused = await cli.attempt(['tenant', 'delete', 'gone'])
    expect(refused).toMatchObject({ code: 5, stdout: '' })
    expect(refused.stderr).toContain('a live key')
    expect(refused.stderr).toContain('--cascade')
    expect(await cli.json('tenant', 'delete', 'gone', '--cascade')).toEqual({ id: 'gone', deleted: true })
    expect((await service.admin('GET', '/tenants/gone')).status).toBe(404)
  })

  it.each([
    ['create', ['tenant', 'create', 'quiet', '-q'], 'quiet\n'],
    ['get', ['tenant', 'get', 'quiet', '-q'], 'quiet\n'],
    ['update', ['tenant', 'update', 'quiet', '--name', 'x', '-q'], 'quiet\n'],
    ['suspend', ['tenant', 'suspend', 'quiet', '--quiet'], 'quiet\n'],
    ['resume', ['tenant', 'resume', 'quiet', '-q'], 'quiet\n'],
    ['delete', ['tenant', 'delete', 'quiet', '-q'], 'quiet\n'],
  ])('%s -q prints the id and says nothing', async (_, args, stdout) => {
    expect(await cli.attempt(args)).toEqual({ code: 0, stdout, stderr: '' })
  })
})

describe('a list', () => {
  const ids = Array.from({ length: 105 }, (_, index) => `many-${String(index).padStart(3, '0')}`)
  beforeAll(async () => {
    for (const id of ids) await service.admin('POST', '/tenants', { id })
  })

  it('follows the cursors to its end, newest first', async () => {
    const listed = (await cli.run('tenant', 'list', '-q')).trim().split('\n')
    expect(listed).toEqual([...ids].reverse().concat('acme'))
  })

  it.each([1, 100, 103])('stops at --limit %i', async limit => {
    const listed = await cli.json('tenant', 'list', '--limit', String(limit))
    expect(listed.map((tenant: { id: string }) => tenant.id)).toEqual([...ids].reverse().slice(0, limit))
  })

  it('has a header line and aligned columns', async () => {
    const lines = (await cli.run('tenant', 'list')).trim().split('\n')
    expect(lines[0]).toMatch(/^ID +NAME +STATE +TIER +ADAPTERS +CONTACT +CREATED$/)
    expect(lines).toHaveLength(ids.length + 2)
    const column = lines[0]?.indexOf('STATE') ?? 0
    expect(new Set(lines.slice(1).map(line => line.slice(column, column + 6)))).toEqual(new Set(['active']))
  })

  it('is neither cut nor coloured without a terminal', async () => {
    const name = 'a name that is as long as names may be, '.repeat(5).trim()
    await service.admin('PATCH', '/tenants/acme', { name })
    const { stdout } = await mintmarkProcess(['tenant', 'list'], {
      env: { ...cli.env, TERM: 'xterm-256color', COLUMNS: '40' },
    })
    expect(stdout).toContain(name)
    expect(stdout).not.toContain('\u001b')
  })

  it('that is empty prints nothing, [] in JSON, and a note', async () => {
    expect(await cli.attempt(['key', 'list'])).toEqual({ code: 0, stdout: '', stderr: 'No keys.\n' })
    expect(await cli.attempt(['key', 'list', '-q'])).toEqual({ code: 0, stdout: '', stderr: '' })
    expect(await cli.json('key', 'list')).toEqual([])
  })
})
