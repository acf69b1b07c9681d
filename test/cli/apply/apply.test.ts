import { cpSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newPair } from '../../identity-providers/assertions.ts'
import { startTestService, type TestService } from '../../support/test-service.ts'
import { mintmark } from '../mintmark.ts'
import { applying } from './applying.ts'

/** `mintmark apply` and `diff` on a real service: what is changed, and what never is. */

let service: TestService
let at: ReturnType<typeof applying>
beforeAll(async () => {
  service = await startTestService()
  at = applying(service)
})
afterAll(() => service.stop())

const EXAMPLE = fileURLToPath(new URL('../../../docs/examples/production/', import.meta.url))
const admin = async (method: string, path: string, body?: unknown) =>
  (await service.admin(method, path, body)).body
const keysOf = async (tenant: string) =>
  (await admin('GET', `/tenants/${tenant}/keys?limit=100`)).data as {
    id: string
    name: string
    state: string
  }[]

describe('The example set of the guide', () => {
  const example = (verb: 'apply' | 'diff', ...more: string[]) =>
    mintmark([verb, '-f', EXAMPLE, ...more], { env: at.env })

  it('is planned, applied, and then has nothing left to change: no write at all', async () => {
    const dry = await example('apply', '--dry-run')
    expect([dry.code, dry.stderr]).toEqual([0, ''])
    expect(dry.stdout).toMatch(/\+ create tenant acme\n/)
    expect((await service.admin('GET', '/tenants/acme')).status).toBe(404)

    const first = await example('apply')
    expect(first.code, first.stderr).toBe(0)
    const before = await at.writes()
    const second = await example('apply')
    expect([second.code, second.stdout]).toEqual([0, expect.stringContaining('Nothing to change')])
    const same = await example('diff')
    expect([same.code, await at.writes()]).toEqual([0, before])
  })

  it('creates keys without a secret', async () => {
    const keys = await admin('GET', '/tenants/acme/keys')
    expect(keys.data.map((key: { secrets: unknown[] }) => key.secrets.length)).toEqual([0, 0])
  })

  it('shows a drift with exit code 7, and only that is changed back', async () => {
    await admin('PATCH', '/tenants/acme', { labels: { team: 'sales', extra: 'x' } })
    await admin('PUT', '/tiers/gold', { priority: 5, description: 'by hand' })
    const drift = await example('diff')
    expect([drift.code, drift.stderr]).toEqual([7, expect.stringContaining('not as the files say')])
    expect(drift.stdout).toContain('priority: 5 -> -20')
    expect(drift.stdout).toContain('labels: {"team":"sales","extra":"x"} -> {"team":"ml"}')
    const before = await at.writes()
    expect((await example('apply')).code).toBe(0)
    expect(await at.writes()).toBe(before + 2)
    expect((await admin('GET', '/tenants/acme')).labels).toEqual({ team: 'ml' })
    expect((await admin('GET', '/tiers/gold')).limits.requests_per_minute).toBe(600)
  })

  it('says the same to programs', async () => {
    const { stdout } = await example('diff', '-o', 'json')
    expect(JSON.parse(stdout)).toEqual({
      ...{ set: 'production', steps: [], left: [], unchanged: 8 },
      not_created: [{ kind: 'usage-reporter', name: 'envoy' }],
    })
  })
})

describe('Files are refused before anything is changed', () => {
  it.each([
    [
      'an unknown field, with what was meant',
      'resource: tenant\nid: x\nteir: gold\n',
      /1?\d?\.yaml:6 \(document 2\): teir is not a known field\. Did you mean tier\?/,
    ],
    [
      'an unknown limit',
      'resource: tier\nname: x\npriority: 1\nlimits:\n  request_per_minute: 1\n',
      /:8 \(document 2\): limits\.request_per_minute is not a known field\. Did you mean requests_per_minute\?/,
    ],
    ['an unknown resource', 'resource: tennant\n', /:4 \(document 2\): resource must be one of set, policy/],
    ['a wrong value', 'resource: tier\nname: x\npriority: high\n', /:6 \(document 2\): priority must be/],
    ['what is not YAML', 'resource: [\n', /\(document 2\): not YAML/],
    [
      'an object twice',
      'resource: tier\nname: x\npriority: 1\n---\nresource: tier\nname: x\npriority: 2\n',
      /more than once/,
    ],
    ['two sets', 'resource: set\nname: other\n', /more than one set/],
    [
      'a provider that does not exist',
      'resource: key\ntenant: x\nname: y\ncredentials:\n  - type: federated\n    provider: nope\n',
      /:9 \(document 2\): provider names an identity provider/,
    ],
  ])('%s', async (_, text, message) => {
    const before = await at.writes()
    const { code, stderr } = await at.run('apply', `resource: set\nname: strict\n---\n${text}`)
    expect(stderr).toMatch(message)
    expect([2, 5]).toContain(code)
    expect(await at.writes()).toBe(before)
  })

  it('what the service rejects is shown with its file, document and line, and the rest follows the next time', async () => {
    const text = (model: string) =>
      `resource: set\nname: rejected\n---\nresource: tier\nname: rejected\npriority: 1\n---\nresource: tenant\nid: rejected\nmodels:\n  - ${model}\n`
    const { code, stderr } = await at.run('apply', text('nope'))
    expect(code).toBe(5)
    expect(stderr).toMatch(
      /\d+\.yaml:11 \(document 3\): models\.0 names a base model that is not registered: "nope"/,
    )
    expect(stderr).toContain('1 of 2 steps were done')
    await admin('PUT', '/models/there', {})
    expect((await at.run('apply', text('there'))).code).toBe(0)
  })
})

describe('Objects of others', () => {
  const mine = (...documents: string[]) => ['resource: set\nname: mine', ...documents].join('\n---\n')
  const theirs = (...documents: string[]) => ['resource: set\nname: theirs', ...documents].join('\n---\n')
  const tier = (name: string, priority = 1) => `resource: tier\nname: ${name}\npriority: ${priority}`
  const tenant = (id: string) => `resource: tenant\nid: ${id}`
  const key = (of: string, name: string) => `resource: key\ntenant: ${of}\nname: ${name}`

  it('of another set are never changed, and are named', async () => {
    expect((await at.run('apply', theirs(tier('shared')))).code).toBe(0)
    const before = await at.writes()
    for (const more of [[], ['--adopt']]) {
      const { code, stderr } = await at.run('apply', mine(tier('shared', 9)), ...more)
      expect([code, stderr]).toEqual([
        5,
        expect.stringContaining('the tier "shared" belongs to the set theirs'),
      ])
    }
    expect(await at.writes()).toBe(before)
  })

  it('of no set are taken over only with --adopt, and never deleted', async () => {
    await admin('PUT', '/tiers/by-hand', { priority: 3 })
    const refused = await at.run('apply', mine(tier('by-hand')))
    expect([refused.code, refused.stderr]).toEqual([5, expect.stringMatching(/belong to no set.*--adopt/)])
    expect((await at.run('apply', mine(tier('by-hand')), '--adopt')).code).toBe(0)
    expect((await admin('GET', '/tiers/by-hand')).priority).toBe(1)
    const pruned = await at.run('apply', mine(), '--prune')
    expect(pruned.stdout).toContain('release tier by-hand')
    expect((await service.admin('GET', '/tiers/by-hand')).status).toBe(200)
  })

  it('--prune deletes what the set made, in an order that works, and nothing of another set', async () => {
    const all = [tier('t-mine'), tenant('pruned'), key('pruned', 'one')]
    expect((await at.run('apply', mine(...all))).code).toBe(0)
    expect((await at.run('apply', theirs(tier('shared'), key('pruned', 'one')))).code).toBe(0)
    const kept = await at.run('diff', mine())
    expect([kept.code, kept.stdout]).toEqual([
      0,
      expect.stringContaining('tenant pruned is in the set and not in the files'),
    ])

    // A tenant with a key of another set stays.
    const blocked = await at.run('apply', mine(), '--prune', '--yes')
    expect([blocked.code, blocked.stderr]).toEqual([
      5,
      expect.stringMatching(/pruned is not deleted: its key key_\w+ \("one"\) belongs to the set theirs/),
    ])
    expect((await at.run('apply', theirs(tier('shared')), '--prune', '--yes')).code).toBe(0)

    const asked = await at.run('apply', mine(), '--prune')
    expect([asked.code, asked.stderr]).toEqual([
      2,
      expect.stringMatching(/cannot be undone.*\n.*never reused/s),
    ])
    const env = { ...at.env, MINTMARK_YES: '1' }
    const done = await mintmark(['apply', '-f', at.file(mine()), '--prune'], { env })
    expect(done.code, done.stderr).toBe(0)
    expect((await service.admin('GET', '/tenants/pruned')).status).toBe(404)
    expect((await service.admin('GET', '/tiers/t-mine')).status).toBe(404)
    expect((await service.admin('GET', '/tiers/shared')).status).toBe(200)
    expect((await at.run('diff', mine(), '--prune')).code).toBe(0)
  })

  it.each(['active', 'disabled'])(
    '--prune deletes no tenant with a key of no set that is %s',
    async state => {
      expect((await at.run('apply', mine(tier('t-left'), tenant(`with-${state}`)))).code).toBe(0)
      const { id } = await admin('POST', `/tenants/with-${state}/keys`, { name: 'by-hand' })
      if (state === 'disabled') await admin('POST', `/keys/${id}/disable`)
      const { code, stderr } = await at.run('apply', mine(), '--prune', '--yes')
      expect([code, stderr]).toEqual([
        5,
        expect.stringMatching(`nothing was changed:\\n.*its key ${id} \\("by-hand"\\) belongs to no set`),
      ])
      expect((await service.admin('GET', '/tiers/t-left')).status).toBe(200)
      await admin('POST', `/keys/${id}/revoke`)
      expect((await at.run('apply', mine(), '--prune', '--yes')).code).toBe(0)
    },
  )

  it('a revoked key of no set is not taken over, and its name is given to a new one', async () => {
    expect((await at.run('apply', mine(tenant('renewed')))).code).toBe(0)
    const { id } = await admin('POST', '/tenants/renewed/keys', { name: 'one' })
    await admin('POST', `/keys/${id}/revoke`)
    const { code, stdout } = await at.run('apply', mine(tenant('renewed'), key('renewed', 'one')))
    expect([code, stdout]).toEqual([0, expect.stringContaining('create key renewed/one')])
    expect((await keysOf('renewed')).map(({ state }) => state).toSorted()).toEqual(['active', 'revoked'])
  })

  it('a credential that changes is added before the former one is deleted', async () => {
    const withJwk = ({ kid, jwk }: ReturnType<typeof newPair>) =>
      mine(
        tenant('changing'),
        `${key('changing', 'one')}\ncredentials:\n  - type: public_key\n    jwks: ${JSON.stringify({ keys: [{ ...jwk, kid }] })}`,
      )
    const [before, after] = [newPair('before'), newPair('after')]
    expect((await at.run('apply', withJwk(before))).code).toBe(0)
    const { code, stdout } = await at.run('apply', withJwk(after))
    expect([code, stdout]).toEqual([
      0,
      expect.stringMatching(
        /create credential of key changing\/one.*delete credential of key changing\/one/s,
      ),
    ])
    const [{ id } = { id: '' }] = await keysOf('changing')
    const { data } = await admin('GET', `/keys/${id}/credentials`)
    expect(data).toMatchObject([{ jwks: { keys: [{ kid: 'after' }] } }])
  })

  it('a key can be renamed, and a revoked one is replaced', async () => {
    expect((await at.run('apply', mine(tenant('renaming'), key('renaming', 'old')))).code).toBe(0)
    const [before] = await keysOf('renaming')
    const renamed = mine(tenant('renaming'), `${key('renaming', 'new')}\nrenamed_from: old`)
    expect((await at.run('apply', renamed)).code).toBe(0)
    expect(await keysOf('renaming')).toMatchObject([{ id: before?.id, name: 'new' }])
    expect((await at.run('diff', renamed)).code).toBe(0)
    await admin('POST', `/keys/${before?.id}/revoke`)
    expect((await at.run('apply', renamed)).code).toBe(0)
    const states = (await keysOf('renaming')).map(({ name, state }) => `${name} ${state}`)
    expect(states).toEqual(['new active', 'new revoked'])
  })

  it("another's change between the plan and the step is a conflict that is shown, and is not overwritten", async () => {
    const { makePlan } = await import('../../../src/cli/apply/plan.ts')
    const { performPlan } = await import('../../../src/cli/apply/perform.ts')
    const { declaredSet } = await import('../../../src/cli/apply/declared-set.ts')
    const { readDocuments } = await import('../../../src/cli/apply/documents.ts')
    const { AdminClient } = await import('../../../src/cli/admin-client.ts')
    await at.run('apply', theirs(tier('shared')))
    const client = new AdminClient({
      ...{ url: service.service.urls.admin, token: service.rootToken },
      ...{ urlFrom: 'MINTMARK_URL', tokenFrom: 'MINTMARK_ADMIN_TOKEN', context: null },
    })
    const set = declaredSet(await readDocuments([at.file(theirs(tier('shared', 7)))]))
    const options = { prune: false, rotate: [], destinations: undefined, nowMs: 0 }
    const plan = await makePlan(client, set, options)
    await admin('PUT', '/tiers/shared', { priority: 99 })
    await expect(performPlan(client, plan, () => {})).rejects.toThrow(
      /changed by someone else since the plan/,
    )
    expect((await admin('GET', '/tiers/shared')).priority).toBe(99)
  })
})

const settings = ({ body }: { body: Record<string, unknown> }) =>
  body.policy ?? { ...body, created_at: null, updated_at: null, suspended_at: null }

/** Those of a key by hand, each with a value that is no default in every field that it may have. */
async function addCredentials({ admin }: TestService): Promise<void> {
  const { id } = (await admin('POST', '/tenants/by-hand/keys', { name: 'robot' })).body
  const provider = await admin('POST', '/identity-providers', {
    kind: 'github-actions',
    name: 'github',
    issuer: 'https://token.actions.githubusercontent.com',
    audiences: ['https://tokens.example.com/robots'],
    jwks: { keys: [{ ...newPair('github').jwk, kid: 'github' }] },
  })
  const { kid, jwk } = newPair('own')
  for (const credential of [
    { type: 'public_key', jwks: { keys: [{ ...jwk, kid }] }, single_use: 'database' },
    {
      type: 'federated',
      provider: provider.body.id,
      subject: 'repo:acme/models:environment:production',
      claims: { repository_owner_id: '1', repository_id: '2', event_name: 'pull_request' },
      allow_untrusted_events: true,
    },
  ]) {
    const { status, text } = await admin('POST', `/keys/${id}/credentials`, credential)
    expect(status, text).toBe(201)
  }
}

/** Without what each installation gives them. */
async function credentialsOf({ admin }: TestService): Promise<object[]> {
  const { data: keys } = (await admin('GET', '/keys?tenant=by-hand')).body
  const { id } = keys.find(({ name }: { name: string }) => name === 'robot')
  const { data } = (await admin('GET', `/keys/${id}/credentials`)).body
  return data.map(({ type, subject, claims, allow_untrusted_events, jwks, single_use }: Credential) => ({
    ...{ type, subject, claims, allow_untrusted_events, jwks, single_use },
  }))
}
// biome-ignore lint/suspicious/noExplicitAny: as the service answers
type Credential = Record<string, any>

describe('export', () => {
  it('gives files that make the same of an empty installation', async () => {
    const source = await startTestService()
    const target = await startTestService()
    try {
      const [from, to] = [applying(source), applying(target)]
      const folder = mkdtempSync(join(tmpdir(), 'mintmark-example-'))
      cpSync(EXAMPLE, folder, { recursive: true })
      const applied = await mintmark(['apply', '-f', folder], { env: from.env })
      expect(applied.code, applied.stderr).toBe(0)
      await source.admin('POST', '/tenants', {
        id: 'by-hand',
        audiences: ['vllm', 'other'],
        allowed_tiers: ['standard', 'batch'],
      })
      await source.admin('POST', '/tenants/by-hand/keys', { name: 'twice', scopes: ['inference'] })
      await source.admin('POST', '/tenants/by-hand/keys', { name: 'twice', description: 'another' })
      await source.admin('POST', '/tenants/by-hand/suspend')
      await addCredentials(source)
      const exported = await mintmark(['export'], { env: from.env })
      expect(exported.code, exported.stderr).toBe(0)
      expect(exported.stdout).not.toMatch(/mm[kair]_/)

      const copied = await to.run('apply', exported.stdout, '--adopt')
      expect(copied.code, copied.stderr).toBe(0)
      expect((await mintmark(['export'], { env: to.env })).stdout).toBe(exported.stdout)
      expect((await to.run('diff', exported.stdout)).code).toBe(0)
      expect(await credentialsOf(target)).toEqual(await credentialsOf(source))
      expect(await credentialsOf(source)).toMatchObject([
        { type: 'federated', allow_untrusted_events: true },
        { type: 'public_key', single_use: 'database' },
      ])

      for (const path of [
        '/tenants/acme',
        '/tenants/by-hand',
        '/tiers/gold',
        '/adapters/acme-sql',
        '/installation',
      ])
        expect(settings(await target.admin('GET', path)), path).toEqual(
          settings(await source.admin('GET', path)),
        )
      // Of two keys of one name, one is named by its id: they are compared by their rights.
      const rights = async ({ admin: read }: TestService) =>
        ((await read('GET', '/keys')).body.data as { effective: object }[])
          .map(({ effective }) => JSON.stringify(effective))
          .toSorted()
      expect(await rights(target)).toEqual(await rights(source))
      expect(await rights(target)).toHaveLength(5)

      const ofSet = await mintmark(['export', '--set', 'production'], { env: from.env })
      expect(ofSet.stdout).not.toContain('by-hand')
      expect((await from.run('diff', ofSet.stdout)).stdout).toContain('Nothing to change')
    } finally {
      await source.stop()
      await target.stop()
    }
  })
})
