import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cliOf, mintmark as run } from '../cli/mintmark.ts'
import { promptedClock } from '../support/adjustable-clock.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { issue } from './admins.ts'

const clock = promptedClock()
let mintmark: TestService
let admin: TestService['admin']
beforeAll(async () => {
  mintmark = await startTestService({ overrides: { clock } })
  ;({ admin } = mintmark)
  await admin('PUT', '/models/llama-3-8b', {})
  await admin('POST', '/tenants', { id: 'acme', name: 'Acme', contact: 'ml@acme.example' })
  await admin('POST', '/tenants', { id: 'blue' })
})
afterAll(() => mintmark.stop())

const newKey = async (tenant: string, settings: object = {}) =>
  (await admin('POST', `/tenants/${tenant}/keys`, settings)).body
const review = async (query = '') => (await admin('GET', `/access-review${query}`)).body.data
const names = (keys: { name: string }[]) => keys.map(({ name }) => name)

describe('an access review', () => {
  it('has the owner of each key, its last use, its rights and its creator', async () => {
    const { id, secret } = await newKey('acme', { name: 'batch', escalation: 'boss@acme.example' })
    expect((await review('?tenant=acme'))[0]).toEqual({
      id,
      name: 'batch',
      tenant: 'acme',
      tenant_name: 'Acme',
      state: 'active',
      contact: 'ml@acme.example',
      escalation: 'boss@acme.example',
      created_by: 'root',
      created_at: expect.any(String),
      expires_at: expect.any(String),
      last_used_at: null,
      usable_secrets: 1,
      tier: 'standard',
      scopes: ['inference'],
      models: ['llama-3-8b'],
      adapters: [],
      audiences: ['vllm'],
    })
    await mintmark.token({ grant_type: 'client_credentials', client_secret: secret })
    await until('its use is written', async () => {
      await clock.runJobs()
      return (await review('?tenant=acme'))[0].last_used_at !== null
    })
    await admin('PATCH', `/keys/${id}`, { contact: 'person@acme.example' })
    expect((await review('?tenant=acme'))[0].contact).toBe('person@acme.example')
  })

  it('leaves out revoked keys, and finds expiring and unused ones', async () => {
    const soon = new Date(Date.now() + 3 * 86_400_000).toISOString()
    await newKey('blue', { name: 'soon', expires_at: soon })
    const { id } = await newKey('blue', { name: 'revoked', expires_at: soon })
    await admin('POST', `/keys/${id}/revoke`, {})
    const { secret } = await newKey('blue', { name: 'used' })
    await mintmark.token({ grant_type: 'client_credentials', client_secret: secret })
    const in7Days = new Date(Date.now() + 7 * 86_400_000).toISOString()
    expect(names(await review(`?expires_before=${in7Days}`))).toEqual(['soon'])
    expect(names(await review('?tenant=blue'))).toEqual(['used', 'soon'])
    const since = await until('the use is written', async (): Promise<string | null> => {
      await clock.runJobs()
      return (await review('?tenant=blue'))[0].last_used_at
    })
    expect(names(await review(`?tenant=blue&unused_since=${since}`))).toEqual(['soon'])
  })

  it('is of its own tenant for a tenant-admin', async () => {
    const acme = await issue(mintmark, 'tenant-admin', 'acme')
    const mine = (await acme.call('GET', '/access-review')).body.data
    expect(new Set(mine.map(({ tenant }: { tenant: string }) => tenant))).toEqual(new Set(['acme']))
    expect((await acme.call('GET', '/access-review?tenant=blue')).status).toBe(404)
  })
})

describe('mintmark report', () => {
  it('prints a table, CSV that no spreadsheet runs, and a dated Markdown file', async () => {
    await newKey('acme', { name: '=cmd|a!A1', contact: '| **bold** "q", x' })
    const cli = cliOf(mintmark)
    expect(await cli.run('report', 'access-review', '--tenant', 'acme')).toMatch(/^KEY +TENANT +NAME/)
    const csv = await cli.run('report', 'access-review', '--csv')
    expect(csv.split('\r\n')[0]).toMatch(/^id,name,tenant,tenant_name,state,contact,escalation/)
    expect(csv).toContain(`,'=cmd|a!A1,`)
    expect(csv).toContain('"| **bold** ""q"", x"')
    const markdown = await cli.run('report', 'access-review', '--markdown')
    const [title, , about] = markdown.split('\n')
    expect(title).toBe('# Access review')
    expect(about).toMatch(
      /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ, http:\/\/127\.0\.0\.1:\d+\. Keys that are not revoked\.$/,
    )
    expect(markdown).toContain('\\| \\*\\*bold\\*\\*')
    expect(markdown).toMatch(/^\| batch \(key\\_\w+\) \| \w+ \| [^|]+, then boss@acme\.example \|/m)
    expect(await cli.run('report', 'expiring-keys', '--days', '7', '-q')).toMatch(/^key_\w{16}\n$/)
    expect(await cli.json('report', 'unused-keys', '--days', '1')).toEqual([])
  })

  it('says in the Markdown file what it leaves out: other tenants, and keys beyond a limit', async () => {
    const { secret } = await issue(mintmark, 'tenant-admin', 'acme')
    const env = { ...cliOf(mintmark).env, MINTMARK_ADMIN_TOKEN: secret }
    const { code, stdout } = await run(['report', 'access-review', '--markdown', '--limit', '1'], { env })
    expect([code, stdout.split('\n')[2]]).toEqual([
      0,
      expect.stringMatching(/Keys that are not revoked\. Tenant: acme\. At most 1 keys\.$/),
    ])
  })
})

describe('a policy that requires a contact', () => {
  beforeAll(async () => {
    await admin('PATCH', '/installation', { policy: { contact_required: true } })
  })
  afterAll(async () => {
    await admin('PATCH', '/installation', { policy: { contact_required: false } })
  })

  const hash = 'ab'.repeat(32)
  const client = { client_id: 'legacy', tenant: 'blue', scheme: 'sha256', hash }
  const REFUSED: [what: string, request: () => ReturnType<TestService['admin']>, pointer: string][] = [
    ['a tenant without one', () => admin('POST', '/tenants', { id: 'green' }), '/contact'],
    ['a key without one in a tenant without one', () => admin('POST', '/tenants/blue/keys', {}), '/contact'],
    ['the removal of one', () => admin('PATCH', '/tenants/acme', { contact: null }), '/contact'],
    [
      'an imported client',
      () => admin('POST', '/imported-clients', { clients: [client] }),
      '/clients/0/contact',
    ],
  ]
  it.each(REFUSED)('rejects %s by name', async (_, request, pointer) => {
    const { status, body } = await request()
    expect([status, body.errors?.map((error: { pointer: string }) => error.pointer)]).toEqual([
      400,
      [pointer],
    ])
  })

  it('accepts those that have one, of their own or of their tenant, and changes of older ones', async () => {
    expect((await admin('POST', '/tenants', { id: 'green', contact: 'g@example.com' })).status).toBe(201)
    expect((await admin('POST', '/tenants/acme/keys', {})).status).toBe(201)
    expect((await admin('POST', '/tenants/blue/keys', { contact: 'b@example.com' })).status).toBe(201)
    expect((await admin('PATCH', '/tenants/blue', { description: 'older' })).status).toBe(200)
  })
})
