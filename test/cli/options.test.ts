import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { issue } from '../admin/admins.ts'
import { jws, newPair } from '../identity-providers/assertions.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { cliOf } from './mintmark.ts'

/** Options by what they change at the service: one that is forgotten on its way is noticed nowhere else. */

let service: TestService
let cli: ReturnType<typeof cliOf>
let folder: string
beforeAll(async () => {
  service = await startTestService()
  cli = cliOf(service)
  folder = await mkdtemp(join(tmpdir(), 'mintmark-options-'))
  await service.admin('PUT', '/models/llama-3-8b', {})
})
afterAll(() => service.stop())

const fileWith = async (content: string) => {
  const file = join(folder, crypto.randomUUID())
  await writeFile(file, content)
  return file
}
const ids = async (...args: string[]) => (await cli.run(...args, '-q')).split('\n').filter(Boolean).sort()

const OWNERS = ['--contact', 'Team Search', '--escalation', 'on-call@example.com']
const OWNED = { contact: 'Team Search', escalation: 'on-call@example.com' }
const LIMITS = [
  ...['--requests-per-minute', '1', '--requests-per-day', '2'],
  ...['--tokens-per-minute', '3', '--tokens-per-day', '4'],
]
const LIMITED = {
  limits: { requests_per_minute: 1, requests_per_day: 2, tokens_per_minute: 3, tokens_per_day: 4 },
}

describe('a setting', () => {
  it.each(['create', 'update'])(
    'of tenant %s: the owner, the limits, the longest lifetime of a key',
    async verb => {
      if (verb === 'update') await cli.run('tenant', 'create', 'of-update')
      const lifetime = ['--max-key-lifetime-seconds', '3600']
      await cli.run('tenant', verb, `of-${verb}`, ...OWNERS, ...LIMITS, ...lifetime)
      const { body } = await service.admin('GET', `/tenants/of-${verb}`)
      expect(body).toMatchObject({ ...OWNED, ...LIMITED, max_key_lifetime_seconds: 3_600 })
    },
  )

  it.each(['create', 'update'])('of key %s: the owner, the limits', async verb => {
    await service.admin('POST', '/tenants', { id: 'owner' })
    const { id } = (await service.admin('POST', '/tenants/owner/keys', {})).body
    const made = await cli.json('key', verb, verb === 'create' ? 'owner' : id, ...OWNERS, ...LIMITS)
    const { body } = await service.admin('GET', `/keys/${made.id}`)
    expect(body).toMatchObject({ ...OWNED, ...LIMITED })
  })

  it.each([
    ['--max-key-lifetime-seconds', '8640000', { max_key_lifetime_seconds: 8_640_000 }],
    ['--unending-keys', 'no', { unending_keys_allowed: false }],
    ['--unending-keys', 'yes', { unending_keys_allowed: true }],
    ['--max-live-keys-per-tenant', '77', { max_live_keys_per_tenant: 77 }],
    ['--tenant-writes-per-minute', '78', { tenant_writes_per_minute: 78 }],
    ['--usage-dedup-seconds', '7200', { usage_dedup_seconds: 7_200 }],
    ['--usage-retention-days', '400', { usage_retention_days: 400 }],
    ['--contact-required', 'yes', { contact_required: true }],
    ['--contact-required', 'no', { contact_required: false }],
  ])('of installation update: %s %s', async (option, value, policy) => {
    await cli.run('installation', 'update', option, value)
    expect((await service.admin('GET', '/installation')).body.policy).toMatchObject(policy)
  })

  it('of installation update: --signing-alg, which is refused before keys of it are published', async () => {
    const refused = await cli.attempt(['installation', 'update', '--signing-alg', 'RS256'])
    expect(refused).toMatchObject({
      code: 5,
      stderr: expect.stringContaining('Verifiers do not know a key for RS256 yet'),
    })
  })

  it('of import unkey: the contact of the tenants that it creates', async () => {
    const row = {
      id: 'key_1',
      hash: Buffer.alloc(32, 1).toString('base64'),
      name: 'one',
      owner_id: 'Import Ltd',
    }
    await cli.run('import', 'unkey', await fileWith(JSON.stringify(row)), '--contact', 'ops@example.com')
    expect((await service.admin('GET', '/tenants/import-ltd')).body.contact).toBe('ops@example.com')
  })
})

describe('a filter', () => {
  const [old, soon] = ['2020-01-01T00:00:00Z', new Date(Date.now() + 3_600_000).toISOString()]
  let keys: Record<'old' | 'soon' | 'labelled' | 'theirs' | 'imported', string>
  let admin: Awaited<ReturnType<typeof issue>>
  beforeAll(async () => {
    await service.admin('POST', '/tenants', { id: 'filtered' })
    await service.admin('POST', '/tenants', { id: 'beside' })
    await service.admin('POST', '/tenants/beside/keys', {})
    admin = await issue(service, 'tenant-admin', 'filtered')
    const make = async (fields: object) =>
      (await service.admin('POST', '/tenants/filtered/keys', fields)).body.id
    const client = { client_id: 'imported-1', tenant: 'filtered', scheme: 'sha256', hash: 'd'.repeat(64) }
    keys = {
      old: await make({}),
      soon: await make({ expires_at: soon }),
      labelled: await make({ labels: { team: 'a' } }),
      theirs: (await admin.call('POST', '/tenants/filtered/keys', {})).body.id,
      imported: (await service.admin('POST', '/imported-clients', { clients: [client] })).body.rows[0].key,
    }
    await service.database.asOwner('UPDATE api_keys SET created_at = $1 WHERE id = $2', [old, keys.old])
  })

  it.each<[string, () => string[], (keyof typeof keys)[]]>([
    ['--label', () => ['team=a'], ['labelled']],
    ['--created-by', () => [admin.id], ['theirs']],
    ['--expires-before', () => ['2h'], ['soon']],
    ['--unused-since', () => ['1d'], ['old']],
    ['--pepper', () => ['p1'], ['labelled', 'old', 'soon', 'theirs']],
    ['--imported', () => ['any'], ['imported']],
    ['--imported', () => ['lookup'], []],
  ])('of key list: %s', async (option, value, expected) => {
    const names = expected.map(name => keys[name]).sort()
    expect(await ids('key', 'list', 'filtered', option, ...value())).toEqual(names)
  })

  it.each<[string, () => string[], (keyof typeof keys)[]]>([
    ['--label', () => ['team=a'], ['labelled']],
    ['--created-by', () => [admin.id], ['theirs']],
    ['--expires-before', () => ['2h'], ['soon']],
    ['--unused-since', () => ['1d'], ['old']],
    ['--created-before', () => ['1d'], ['old']],
    ['--created-after', () => ['1d'], ['imported', 'labelled', 'soon', 'theirs']],
    ['--pepper', () => ['p1'], ['labelled', 'old', 'soon', 'theirs']],
  ])('of key bulk-revoke: %s', async (option, value, expected) => {
    const names = expected.map(name => keys[name]).sort()
    const args = ['key', 'bulk-revoke', '--dry-run', '--tenant', 'filtered', option, ...value()]
    expect(await ids(...args)).toEqual(names)
  })

  it.each<[string, () => string, field: string]>([
    ['--actor', () => admin.id, 'actor'],
    ['--action', () => 'admin-token.create', 'action'],
    ['--target', () => keys.soon, 'target_id'],
    ['--tenant', () => 'beside', 'tenant'],
  ])('of audit list and export: %s', async (option, value, field) => {
    const all: AuditEvent[] = await cli.json('audit', 'list')
    const expected = all.filter(event => event[field] === value())
    expect(expected.length).toBeGreaterThan(0)
    expect(await cli.json('audit', 'list', option, value())).toEqual(expected)
    const exported = (await cli.run('audit', 'export', option, value())).split('\n').filter(Boolean)
    expect(exported.map(line => JSON.parse(line).id)).toEqual(expected.map(({ id }) => id).reverse())
  })

  it.each([
    ['--to', '1d'],
    ['--from', '2999-01-01T00:00:00Z'],
  ])('of audit list and export: %s %s', async (option, value) => {
    expect(await cli.json('audit', 'list', option, value)).toEqual([])
    expect(await cli.run('audit', 'export', option, value)).toBe('')
  })

  it.each([
    ['--key', 'key_one', 1],
    ['--model', 'big', 2],
    ['--label', 'team=a', 4],
    ['--from', '10d', 8],
    ['--to', '50d', 16],
  ])('of usage: %s %s', async (option, value, requests) => {
    const reporter = await reporterOf('by-filter')
    await counted(30, reporter, { key: 'key_one', requests: 1 })
    await counted(30, reporter, { model: 'big', requests: 2 })
    await counted(30, reporter, { labels: { team: 'a' }, requests: 4 })
    await counted(5, reporter, { requests: 8 })
    await counted(60, reporter, { requests: 16 })
    const since = option === '--from' ? [] : ['--from', '90d']
    const rows = await cli.json('usage', '--reporter', reporter, ...since, option, value)
    expect(rows.map((each: { requests: number }) => each.requests)).toEqual([requests])
  })

  it('of usage: --reporter; --time-zone is where a day begins', async () => {
    const [one, other] = [await reporterOf('one'), await reporterOf('other')]
    const late = await counted(20, one, { requests: 1 })
    await counted(20, other, { requests: 2 })
    const from = ['--from', '90d', '--reporter', one]
    expect(await cli.json('usage', ...from)).toMatchObject([{ requests: 1 }])
    const day = async (...zone: string[]) =>
      new Date((await cli.json('usage', ...from, '--group-by', 'day', ...zone))[0].start).toISOString()
    expect(await day()).toBe(late.replace('T23', 'T00'))
    // One hour ahead of UTC all year: its next day begins then.
    expect(await day('--time-zone', 'Africa/Lagos')).toBe(late)
  })

  /** Requests in the last hour of a day in UTC. Returns when that began. */
  async function counted(
    daysAgo: number,
    reporter: string,
    { key = 'key_two', model = 'small', labels = {}, requests = 0 },
  ): Promise<string> {
    const hour = `${new Date(Date.now() - daysAgo * 86_400_000).toISOString().slice(0, 10)}T23:00:00.000Z`
    await service.database.asOwner(
      `INSERT INTO usage_totals (hour, tenant_id, key_id, model, reporter_id, labels, requests, input_tokens, cached_input_tokens, output_tokens)
       VALUES ($1, 'filtered', $2, $3, $4, $5, $6, 0, 0, 0)`,
      [hour, key, model, reporter, labels, requests],
    )
    return hour
  }
  const reporterOf = async (name: string): Promise<string> =>
    (await service.admin('POST', '/usage-reporters', { name, audiences: ['vllm'] })).body.id
})

describe('a parameter', () => {
  it('of token get: --resource, each of them', async () => {
    const [one, other] = ['https://one.example.test/v1', 'https://other.example.test/v1']
    const { secret } = await service.tenantWithKey({ audiences: ['vllm', one, other] })
    const audience = async (...resources: string[]) => {
      const args = resources.flatMap(resource => ['--resource', resource])
      const { code, stdout, stderr } = await cli.attempt(['token', 'get', ...args], secret)
      expect(code, stderr).toBe(0)
      return decodeJwt(stdout.trim()).aud
    }
    expect(await audience()).toBe('vllm')
    expect(await audience(other)).toBe(other)
    expect(await audience(one, other)).toEqual([one, other])
  })

  it('of token revoke: --jti and --reason', async () => {
    const { secret } = await service.tenantWithKey()
    const { body } = await service.token({ grant_type: 'client_credentials', client_secret: secret })
    const jti = decodeJwt(body.access_token).jti ?? ''
    await cli.run('token', 'revoke', `--jti=${jti}`, '--reason', 'seen in a log')
    expect(await cli.json('token', 'revocations')).toMatchObject([
      { claim: 'jti', value: jti, reason: 'seen in a log' },
    ])
  })

  it('of identity explain: --id-token', async () => {
    const pair = newPair('one')
    const [issuer, audience] = ['https://issuer.example.test', 'https://tokens.example.test']
    const provider = { kind: 'oidc', issuer, audiences: [audience], jwks: { keys: [pair.jwk] } }
    const { body } = await service.admin('POST', '/identity-providers', provider)
    await service.admin('POST', '/tenants', { id: 'workloads' })
    await service.admin('POST', '/tenants/workloads/workload-keys', {
      credential: { type: 'federated', provider: body.id, subject: 'robot' },
    })
    const exp = Math.floor(Date.now() / 1000) + 600
    const assertion = jws(
      pair,
      { alg: 'ES256', kid: 'one' },
      { iss: issuer, aud: audience, sub: 'robot', exp },
    )
    const explain = (...args: string[]) => cli.attempt(['identity', 'explain', '-q', ...args], assertion)
    expect(await explain()).toMatchObject({ code: 0 })
    expect(await explain('--id-token')).toMatchObject({ code: 3, stdout: 'assertion_as_id_token\n' })
  })
})

interface AuditEvent extends Record<string, unknown> {
  id: number
}
