import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { promptedClock } from '../support/adjustable-clock.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { cliOf } from './mintmark.ts'

/** Options that keep scripts from overwriting, repeating or ending the wrong objects. */

const clock = promptedClock()
let service: TestService
let admin: TestService['admin']
let cli: ReturnType<typeof cliOf>

beforeAll(async () => {
  service = await startTestService({ overrides: { clock } })
  ;({ admin } = service)
  cli = cliOf(service)
  await admin('POST', '/tenants', { id: 'acme' })
  await admin('PUT', '/tiers/gold', { priority: 1 })
})
afterAll(() => service.stop())

const key = async (fields: object = {}) => (await admin('POST', '/tenants/acme/keys', fields)).body

describe('--if-match', () => {
  const etagOf = async (place: string) => (await admin('GET', place)).headers.get('etag') ?? ''

  it('changes an object only while it has the version that get --etag printed', async () => {
    const etag = (await cli.run('tenant', 'get', 'acme', '--etag')).trim()
    expect(etag).toBe(await etagOf('/tenants/acme'))
    const rename = (version: string) =>
      cli.attempt(['tenant', 'update', 'acme', '--name', 'n', '--if-match', version])
    // A shell may have removed the quotes.
    expect((await rename(etag.replaceAll('"', ''))).code).toBe(0)
    expect(await rename(etag)).toMatchObject({
      code: 5,
      stdout: '',
      stderr: expect.stringContaining('get --etag'),
    })
  })

  it.each<[string, () => Promise<[place: string, change: string[]]>]>([
    ['key revoke', async () => [`/keys/${(await key()).id}`, ['key', 'revoke', 'ID']]],
    ['key update', async () => [`/keys/${(await key()).id}`, ['key', 'update', 'ID', '--name', 'n']]],
    ['tier set', async () => ['/tiers/gold', ['tier', 'set', 'gold', '--priority', '2']]],
  ])('applies to %s', async (_, make) => {
    const [place, words] = await make()
    const change = words.map(word => word.replace('ID', place.replace('/keys/', '')))
    const etag = await etagOf(place)
    expect((await cli.attempt([...change, '--if-match', '"other"'])).code).toBe(5)
    expect(await etagOf(place)).toBe(etag)
    expect((await cli.attempt([...change, '--if-match', etag])).code).toBe(0)
  })

  it.each([
    ['installation', ['get', '--etag']],
    ['signing-key', ['get', 'KID', '--etag']],
  ])('%s has a version too', async (noun, args) => {
    const { kid } = (await admin('GET', '/signing-keys')).body.data[0]
    expect(await cli.run(noun, ...args.map(word => word.replace('KID', kid)))).toMatch(/^"[\w-]{22}"\n$/)
  })
})

it('--idempotency-key creates once what is sent twice', async () => {
  const create = ['key', 'create', 'acme', '--name', 'once', '--idempotency-key', 'job-1', '-o', 'json']
  const [first, second] = [await cli.attempt(create), await cli.attempt(create)]
  expect([first.code, second.code]).toEqual([0, 0])
  expect(JSON.parse(second.stdout)).toMatchObject({
    id: JSON.parse(first.stdout).id,
    secret_available: false,
  })
  const bad = await cli.attempt(['tenant', 'create', 'x', '--idempotency-key', 'a b'])
  expect(bad).toMatchObject({ code: 2, stderr: expect.stringContaining('printable ASCII') })
})

it('without -o json a repeated key is reported as one, and no secret is printed', async () => {
  const create = ['key', 'create', 'acme', '--idempotency-key', 'job-2']
  await cli.attempt(create)
  const again = await cli.attempt(create)
  expect(again).toMatchObject({ code: 5, stdout: '', stderr: expect.stringContaining('was returned once') })
})

describe('mintmark key', () => {
  it('inspect identifies the key of a string', async () => {
    const { id, secret, secret_id } = await key({ name: 'lost' })
    const found = await cli.attempt(['key', 'inspect'], `${secret}\n`)
    expect(found).toMatchObject({ code: 0, stderr: `The string is its secret ${secret_id}.\n` })
    expect(found.stdout).toMatch(new RegExp(`^id +${id}$`, 'm'))
    expect(await cli.attempt(['key', 'inspect'], 'hunter2')).toMatchObject({
      code: 4,
      stdout: '',
      stderr: expect.stringContaining('its form or checksum is wrong'),
    })
  })

  it('usage counts by day', async () => {
    const { id, secret } = await key()
    await service.token({ grant_type: 'client_credentials', client_secret: secret })
    const counted = await until(
      'it is counted',
      async () => {
        await clock.runJobs()
        return cli.run('key', 'exchanges', id, '--days', '1')
      },
      text => text.includes('exchanged'),
    )
    expect(counted).toMatch(/^DAY +OUTCOME +COUNT\n\d{4}-\d\d-\d\d +exchanged +1\n$/)
    expect(await cli.attempt(['key', 'exchanges', id, '--days', '0'])).toMatchObject({
      code: 5,
      stderr: expect.stringContaining('--days (/days) must be'),
    })
  })

  it('list takes filters', async () => {
    const { id } = await key({ labels: { job: 'list' } })
    expect(await cli.run('key', 'list', '--label', 'job=list', '-q')).toBe(`${id}\n`)
    expect(
      await cli.run('key', 'list', 'acme', '--label', 'job', '--unused-since', '2999-01-01T00:00:00Z', '-q'),
    ).toBe(`${id}\n`)
    expect((await cli.attempt(['key', 'list', '--expires-before', '2020-01-01T00:00:00Z'])).stderr).toBe(
      'No keys.\n',
    )
  })

  it('bulk-revoke revokes what matches, after a dry run that revokes nothing', async () => {
    const ids = [(await key({ labels: { leak: 'x' } })).id, (await key({ labels: { leak: 'y' } })).id]
    const args = ['key', 'bulk-revoke', '--tenant', 'acme', '--label', 'leak', '--reason', 'it was public']
    const dry = await cli.attempt([...args, '--dry-run'])
    expect(dry).toMatchObject({ code: 0, stderr: 'Would revoke 2.\n' })
    expect(dry.stdout).toContain(ids[0])
    expect((await cli.json('key', 'get', ids[0] as string)).state).toBe('active')
    expect(JSON.parse((await cli.attempt([...args, '-o', 'json'])).stdout)).toMatchObject([
      { id: ids[1] },
      { id: ids[0] },
    ])
    for (const id of ids) {
      expect(await cli.json('key', 'get', id)).toMatchObject({
        state: 'revoked',
        revoked_reason: 'it was public',
      })
    }
    expect(await cli.attempt(args)).toMatchObject({ code: 0, stdout: '', stderr: 'No keys that match.\n' })
  })

  it('bulk-revoke continues until none is left', async () => {
    await admin('POST', '/tenants', { id: 'many' })
    await service.database.asOwner(
      `INSERT INTO api_keys (id, tenant_id, name, scopes)
        SELECT 'key_' || lpad(n::text, 16, '0'), 'many', '', '{inference}' FROM generate_series(1, 700) AS n`,
    )
    const rehearsed = await cli.attempt([
      'key',
      'bulk-revoke',
      '--tenant',
      'many',
      '--dry-run',
      '-o',
      'table',
    ])
    expect(rehearsed.stderr).toBe('Would revoke 700. The first 500 are shown.\n')
    expect((await cli.run('key', 'bulk-revoke', '--tenant', 'many', '-q')).trim().split('\n')).toHaveLength(
      700,
    )
  })

  it('bulk-revoke without a filter revokes nothing, and names its options', async () => {
    expect(await cli.attempt(['key', 'bulk-revoke'])).toMatchObject({
      code: 5,
      stderr: expect.stringContaining('must name at least one of tenant, label'),
    })
    expect(await cli.attempt(['key', 'bulk-revoke', '--created-before', 'noon'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("'--created-before <time>' argument 'noon' is invalid"),
    })
  })
})

describe('--dry-run', () => {
  it('of tenant delete prints what would be deleted', async () => {
    await admin('POST', '/tenants', { id: 'leaving' })
    await admin('POST', '/tenants/leaving/keys', {})
    const dry = await cli.run('tenant', 'delete', 'leaving', '--cascade', '--dry-run')
    expect(dry).toBe('Would delete the tenant leaving, its keys (1, of which 1 live) and admin tokens (0).\n')
    expect((await cli.attempt(['tenant', 'delete', 'leaving', '--dry-run'])).code).toBe(5)
    expect((await cli.json('tenant', 'get', 'leaving')).id).toBe('leaving')
  })

  it('of admin-token revoke prints how many', async () => {
    const { id } = (await admin('POST', '/admin-tokens', { role: 'auditor' })).body
    expect(await cli.run('admin-token', 'revoke', id, '--cascade', '--dry-run')).toBe(
      `Would revoke 1 admin tokens, 0 keys, and 0 secrets and 0 credentials of other keys.\n${id}\n`,
    )
    expect((await cli.json('admin-token', 'get', id)).state).toBe('active')
  })
})
