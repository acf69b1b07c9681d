import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AdminClient } from '../../src/cli/admin-client.ts'
import { carryOut } from '../../src/cli/import/carry-out.ts'
import { readDestination } from '../../src/cli/import/destination.ts'
import { planLiteLLM } from '../../src/cli/import/litellm.ts'
import type { LiteLLMKey, LiteLLMTables, LiteLLMTeam } from '../../src/cli/import/litellm-tables.ts'
import { issue } from '../admin/admins.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { cliOf, mintmark as run } from './mintmark.ts'

let mintmark: TestService
let folder: string
beforeAll(async () => {
  mintmark = await startTestService()
  folder = mkdtempSync(join(tmpdir(), 'mintmark-import-'))
  await mintmark.admin('PUT', '/models/llama-3-8b', {})
  await mintmark.admin('POST', '/tenants', { id: 'acme' })
})
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  await mintmark.stop()
})

const file = (name: string, text: string) => {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}
const statusOf = async (client_secret: string) =>
  (await mintmark.token({ grant_type: 'client_credentials', client_secret })).status
const sha256 = (key: string) => createHash('sha256').update(key).digest()
const noted = (report: { notes: { code: string; count: number }[] }) =>
  Object.fromEntries(report.notes.map(({ code, count }) => [code, count]))

/** As Unkey creates keys: a prefix and 16 bytes in base58. */
const unkeyKey = () => `up_${randomBytes(18).toString('hex')}`

describe('mintmark import unkey', () => {
  const keys = [unkeyKey(), unkeyKey(), unkeyKey(), unkeyKey()]
  const base = { owner_id: 'Team One', enabled: 1, expires: null, deleted_at_m: null, meta: null }
  const row = (n: number, more: object = {}) => ({
    ...{ id: `key_${n}`, hash: sha256(keys[n] ?? '').toString('base64'), name: `unkey ${n}` },
    ...base,
    ...more,
  })
  const rows = [
    row(0),
    row(1, { enabled: 0, ratelimit_limit: 10 }),
    row(2, { expires: '2020-01-01 00:00:00' }),
    row(3, { owner_id: null }),
    row(4, { id: 'key_deleted', deleted_at_m: 1_700_000_000_000 }),
  ]

  it.each([
    ['NDJSON', () => rows.map(each => JSON.stringify(each)).join('\n')],
    ['a JSON array', () => JSON.stringify(rows)],
  ])('imports rows of its table from %s, again without a change', async (_, text) => {
    const report = await cliOf(mintmark).json('import', 'unkey', file('unkey', text()))
    expect(report.keys.created + report.keys.exists).toBe(2)
    expect(noted(report)).toMatchObject({ expired: 1, no_owner: 1, unkey_ratelimit: 1 })
    expect(await Promise.all(keys.map(statusOf))).toEqual([200, 400, 401, 401])
    const { body } = await mintmark.admin('GET', '/tenants/team-one')
    expect(body).toMatchObject({ name: 'Team One', labels: { 'unkey/owner': 'Team One' } })
  })

  it('takes all keys into one tenant, from CSV', async () => {
    const key = unkeyKey()
    const csv = `id,hash,name,owner_id,enabled,expires\nkey_csv,${sha256(key).toString('base64')},from csv,,true,\n`
    await cliOf(mintmark).run('import', 'unkey', file('unkey.csv', csv), '--tenant', 'acme')
    expect(await statusOf(key)).toBe(200)
  })
})

describe('a file that cannot be imported is refused with its place, and without a part of it', () => {
  const key = randomBytes(16).toString('hex')
  it.each([
    ['unkey', `[{"id":"k","hash":"x","expires":"soon"}]`, 'row 1: expires, "soon", is not a time'],
    ['unkey', '["a"]', 'row 1 has no id and hash'],
    ['kong', 'consumers:\n', 'contains no keyauth_credentials'],
    ['kong', `consumers: {a: {keyauth_credentials: [{key: ${key}}]}}`, 'consumers is not a list of objects'],
    ['kong', `consumers:\n- keyauth_credentials: [${key}]\n`, 'keyauth_credentials is not a list of objects'],
    ['kong', 'consumers: *x\n', 'is neither YAML nor JSON'],
    ['kong', `consumers:\n- username: !!x a\n`, 'contains no keyauth_credentials'],
  ])('%s: %s', async (system, text, words) => {
    const ended = await cliOf(mintmark).attempt(['import', system, file('odd', text)])
    expect(ended).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining(words) })
    expect(ended.stderr).not.toContain(key)
  })
})

describe('mintmark import kong', () => {
  const [key, other, short] = [randomBytes(16).toString('hex'), randomBytes(16).toString('hex'), 'ariel-key']
  const deck = `_format_version: "3.0"
consumers:
- username: mobile-app
  keyauth_credentials:
  - key: ${key}
    tags: [ios]
  - key: ${short}
  acls:
  - group: gold
`
  const dump = `keyauth_credentials:
- {id: 6b9443ae-73f0-4db6-af00-4f1e3a415dbb, key: ${other}, consumer: 59d1ef15-24a5-4373-b957-e8192c15ff6e, ttl: ~, created_at: 1734329245}
consumers:
- {id: 59d1ef15-24a5-4373-b957-e8192c15ff6e, username: web-app}
`

  it('hashes the keys of deck and of a dump of its database, and sends and prints none', async () => {
    const first = await cliOf(mintmark).json('import', 'kong', file('deck.yaml', deck))
    const second = await cliOf(mintmark).json('import', 'kong', file('dump.yaml', dump))
    expect([first.keys.created, second.keys.created]).toEqual([2, 1])
    expect(noted(first)).toMatchObject({ kong_acls: 2, short: 1 })
    expect(await Promise.all([key, other, short].map(statusOf))).toEqual([200, 200, 401])
    const everything = JSON.stringify([
      first,
      second,
      mintmark.logs,
      await mintmark.admin('GET', '/audit-events'),
    ])
    for (const secret of [key, other]) expect(everything).not.toContain(secret)
  })

  it('ends a key with a ttl that long after it was created', async () => {
    const [created, ttl, lasting] = [
      Math.floor(Date.now() / 1_000) - 60,
      3_600,
      randomBytes(16).toString('hex'),
    ]
    const text = `keyauth_credentials:
- {id: with-ttl, key: "${lasting}", consumer: one, ttl: ${ttl}, created_at: ${created}}
consumers:
- {id: one, username: web-app}
`
    await cliOf(mintmark).json('import', 'kong', file('ttl.yaml', text))
    expect(await statusOf(lasting)).toBe(200)
    const [stored] = await mintmark.database.asOwner<{ expires_at: Date }>(
      "SELECT k.expires_at FROM api_keys k JOIN api_key_secrets s ON s.key_id = k.id WHERE s.client_id = 'kong-with-ttl'",
    )
    expect(stored?.expires_at.getTime()).toBe((created + ttl) * 1_000)
  })

  it('repeats no part of a file that it cannot read', async () => {
    const { code, stderr } = await cliOf(mintmark).attempt([
      'import',
      'kong',
      file('broken', `a: [${key}\n b: }`),
    ])
    expect([code, stderr.includes(key)]).toEqual([2, false])
  })
})

it('an import from LiteLLM suspends the tenant that it creates for a blocked team', async () => {
  const key = randomBytes(16).toString('hex')
  const tables: LiteLLMTables = {
    teams: [{ team_id: 'team-1', team_alias: 'Blocked', blocked: true } as LiteLLMTeam],
    keys: [{ token: sha256(key).toString('hex'), key_alias: 'ci', team_id: 'team-1' } as LiteLLMKey],
    ...{ budgets: new Map(), organizations: new Map(), projects: new Map(), inGracePeriod: 0 },
  }
  const from = { urlFrom: 'MINTMARK_URL', tokenFrom: 'MINTMARK_ADMIN_TOKEN', context: null }
  const admin = new AdminClient({ url: mintmark.service.urls.admin, token: mintmark.rootToken, ...from })
  const destination = await readDestination(admin)
  const plan = planLiteLLM(tables, destination, { tenantOf: new Map(), teamless: undefined })
  const { keys } = await carryOut(admin, plan, { dryRun: false, contact: undefined, destination })
  expect(keys.created).toBe(1)
  expect((await mintmark.admin('GET', '/tenants/blocked')).body.state).toBe('suspended')
  expect(await statusOf(key)).toBe(400)
})

describe('mintmark import shadow', () => {
  it('says who would be refused, by logs of LiteLLM and Kong', async () => {
    const [good, blocked] = ['a', 'b'].map(letter => letter.repeat(64))
    await mintmark.admin('POST', '/imported-clients', {
      clients: [
        { client_id: 'litellm-aaaaaaaaaaaaaaaa', tenant: 'acme', scheme: 'sha256', hash: good, lookup: true },
        {
          ...{ client_id: 'litellm-bbbbbbbbbbbbbbbb', tenant: 'acme', scheme: 'sha256', hash: blocked },
          ...{ lookup: true, disabled: true },
        },
        { client_id: 'kong-1', tenant: 'acme', scheme: 'sha256', hash: 'd'.repeat(64), lookup: true },
        // Accepted with its client_id only, which the clients of the log do not send.
        { client_id: 'kong-2', tenant: 'acme', scheme: 'sha256', hash: 'e'.repeat(64), lookup: false },
      ],
    })
    const payload = (user_api_key_hash: string, model_group: string) => ({
      metadata: { user_api_key_hash },
      model_group,
    })
    const lines = [
      payload(good ?? '', 'llama-3-8b'),
      payload(good ?? '', 'gpt-x'),
      payload(blocked ?? '', 'llama-3-8b'),
      { api_key: 'c'.repeat(64), call_type: 'acompletion', model_group: '', model: 'llama-3-8b' },
      { authenticated_entity: { id: '1' }, request: { uri: '/' } },
      { authenticated_entity: { id: '2' }, request: { uri: '/' } },
      { something: 'else' },
    ]
    const log = file('log', `${lines.map(line => JSON.stringify(line)).join('\n')}\nno json\n`)
    const { code, stdout, stderr } = await cliOf(mintmark).attempt(['import', 'shadow', log, '-o', 'json'])
    expect(code, stderr).toBe(0)
    const verdicts = JSON.parse(stdout).map(({ client_id, verdict }: Record<string, string>) => [
      client_id,
      verdict,
    ])
    expect(new Map(verdicts)).toEqual(
      new Map([
        ['litellm-aaaaaaaaaaaaaaaa', '403: model not granted'],
        ['litellm-bbbbbbbbbbbbbbbb', '403: key disabled'],
        ['litellm-cccccccccccccccc', '401: not imported'],
        ['kong-2', '401: secret ended'],
      ]),
    )
    const table = await cliOf(mintmark).attempt(['import', 'shadow', log])
    expect(table.stderr).toContain('6 requests: 2 would be accepted, 4 refused. 2 lines were not read')
    const ofTenant = await issue(mintmark, 'tenant-admin', 'acme')
    const env = { ...cliOf(mintmark).env, MINTMARK_ADMIN_TOKEN: ofTenant.secret }
    const partial = await run(['import', 'shadow', log], { env })
    expect([partial.code, partial.stderr]).toEqual([3, expect.stringContaining('lists those of acme only')])
  })
})
