import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ZodObject } from 'zod'
import { adminRoutes } from '../../src/admin/admin-app.ts'
import { EXAMPLE_JWKS } from '../../src/admin/bodies/identity-body.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { type Caller, issue } from './admins.ts'

let mintmark: TestService
let admin: TestService['admin']
beforeAll(async () => {
  mintmark = await startTestService()
  ;({ admin } = mintmark)
  for (const name of NAMES) {
    await admin('PUT', `/models/${name}`, {})
    await admin('PUT', `/adapters/on-${name}`, { base_model: name })
    await admin('PUT', `/tiers/${name}`, { priority: 1 })
    await admin('POST', '/tenants', { id: name })
    await admin('POST', '/tenants/one/keys', { name })
    await admin('POST', '/admin-tokens', { name, role: 'auditor' })
    await admin('POST', '/usage-reporters', { name, audiences: ['vllm'] })
    const settings = { kind: 'oidc', issuer: 'https://issuer.example.com', audiences: [`for-${name}`] }
    await admin('POST', '/identity-providers', { name, ...settings, jwks: EXAMPLE_JWKS })
    await admin('POST', '/set-objects', { set: 'listed', kind: 'tenant', id: name, name })
  }
  await admin('POST', '/tenants/two/keys', { name: 'another tenant’s' })
})
afterAll(() => mintmark.stop())

const NAMES = ['one', 'two', 'three', 'four', 'five']
const NEWEST_FIRST = [...NAMES].reverse()
const SEEDED = ['batch', 'standard', 'premium']
const LISTS: [path: string, field: string, entries: string[]][] = [
  ['/tenants', 'id', NEWEST_FIRST],
  ['/models', 'name', NEWEST_FIRST],
  ['/adapters', 'name', NEWEST_FIRST.map(name => `on-${name}`)],
  ['/tiers', 'name', [...NEWEST_FIRST, ...SEEDED]],
  ['/keys', 'name', ['another tenant’s', ...NEWEST_FIRST]],
  ['/tenants/one/keys', 'name', NEWEST_FIRST],
  ['/access-review', 'name', ['another tenant’s', ...NEWEST_FIRST]],
  ['/admin-tokens', 'name', NEWEST_FIRST],
  ['/usage-reporters', 'name', NEWEST_FIRST],
  ['/identity-providers', 'name', NEWEST_FIRST],
  ['/set-objects', 'name', NEWEST_FIRST],
]

describe.each(LISTS)('GET %s', (path, field, entries) => {
  const shown = (body: { data: Record<string, string>[] }) => body.data.map(entry => entry[field])

  it('returns all, newest first, and no cursor at the end', async () => {
    const { status, body } = await admin('GET', path)
    expect({ status, shown: shown(body), cursor: body.next_cursor }).toEqual({
      status: 200,
      shown: entries,
      cursor: null,
    })
  })

  it.each([1, 2, entries.length])('returns the same in pages of %i', async limit => {
    const seen: (string | undefined)[] = []
    let cursor: string | null = ''
    while (cursor !== null) {
      const { body } = await admin(
        'GET',
        `${path}?limit=${limit}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`,
      )
      expect(body.data.length).toBeLessThanOrEqual(limit)
      seen.push(...shown(body))
      cursor = body.next_cursor
    }
    expect(seen).toEqual(entries)
  })

  it('continues after the cursor when objects were created in between', async () => {
    const { body } = await admin('GET', `${path}?limit=1`)
    await admin('PUT', '/tiers/late', { priority: 1 })
    await admin('PUT', '/models/late', {})
    const rest = await admin('GET', `${path}?cursor=${body.next_cursor}`)
    await admin('DELETE', '/tiers/late')
    await admin('DELETE', '/models/late')
    expect(shown(rest.body)).toEqual(entries.slice(1))
  })

  it.each([
    'limit=0',
    'limit=101',
    'limit=-1',
    'limit=1.5',
    'limit=ten',
    'limit=',
    'limit=1&limit=2',
    'limit=%31%00',
    'nope=1',
  ])('rejects ?%s', async query => {
    const { status, body } = await admin('GET', `${path}?${query}`)
    expect({ status, pointer: body.errors[0].pointer }).toEqual({
      status: 400,
      pointer: `/${query.split('=')[0]}`,
    })
  })
})

describe('A cursor', () => {
  const cursorOf = async (path: string): Promise<string> =>
    (await admin('GET', `${path}?limit=1`)).body.next_cursor
  const ask = async (path: string, cursor: string, call = admin) => {
    const { status, body } = await call('GET', `${path}${path.includes('?') ? '&' : '?'}cursor=${cursor}`)
    return { status, faults: body.errors }
  }
  const refused = (message: string) => ({ status: 400, faults: [{ pointer: '/cursor', message }] })
  const OTHER_FILTER = 'belongs to another filter: repeat the filter of the first page'

  it.each([
    ['of another list', '/tenants', '/models', 'belongs to another list'],
    ['of all keys, for a tenant’s', '/keys', '/tenants/one/keys', 'belongs to another list'],
    ['of another tenant’s keys', '/tenants/one/keys', '/tenants/two/keys', 'belongs to another tenant'],
    ['of all keys, for those of one tenant', '/keys', '/keys?tenant=one', 'belongs to another tenant'],
    ['of a tenant’s keys without a filter', '/tenants/one/keys', '/tenants/one/keys?label=x', OTHER_FILTER],
    ['of audit events without a filter', '/audit-events', '/audit-events?actor=root', OTHER_FILTER],
    ['of audit events, for their export', '/audit-events', '/audit-events/export', 'belongs to another list'],
  ])('%s is refused by name', async (_, from, to, message) => {
    expect(await ask(to, await cursorOf(from))).toEqual(refused(message))
  })

  it.each(['/tenants', '/admin-tokens', '/keys'])(
    'of %s for all tenants is rejected for one tenant',
    async path => {
      await issue(mintmark, 'auditor')
      const { call } = await issue(mintmark, 'tenant-admin', 'one')
      expect(await ask(path, await cursorOf(path), call)).toEqual(refused('belongs to another tenant'))
    },
  )

  it.each([
    ['nothing', ''],
    ['garbage', '%F0%9F%94%91'],
    ...Object.entries({
      'of version 0.2': '["/tenants","","{}","1"]',
      'no list': '7',
      'too short': '["/tenants","","{}"]',
      'of numbers': '[1,2,3,4]',
      'a place that is no number': '["/tenants","","{}","one"]',
      'a place beyond any number': `["/tenants","","{}","${'9'.repeat(40)}"]`,
      SQL: `["/tenants","","{}","1' OR 1=1"]`,
    }).map(([name, text]) => [name, Buffer.from(text).toString('base64url')]),
  ])('that is %s is refused', async (_, cursor) => {
    expect(await ask('/tenants', cursor ?? '')).toEqual(
      refused('is not a next_cursor of this API: send one from the previous page, or none'),
    )
  })
})

describe('A tenant-admin', () => {
  /** Everything that a response shows, without what differs from request to request. */
  const shown = async (path: string, { call }: Caller) => {
    const { headers, body } = await call('GET', path)
    return { etag: headers.get('etag'), location: headers.get('location'), names: Object.keys(body), body }
  }

  it('cannot count the objects of other tenants by what it is shown', async () => {
    await admin('POST', '/tenants', { id: 'watched' })
    const watcher = await issue(mintmark, 'tenant-admin', 'watched')
    const made = await watcher.call('POST', '/tenants/watched/keys', { name: 'first' })
    await watcher.call('POST', '/tenants/watched/keys', { name: 'second' })
    await issue(mintmark, 'tenant-admin', 'watched')
    const paths = ['/keys', '/tenants/watched/keys', '/admin-tokens', '/tenants', `/keys/${made.body.id}`]
    const look = () =>
      Promise.all(paths.map(path => shown(path.startsWith('/keys/') ? path : `${path}?limit=1`, watcher)))
    const before = await look()
    for (let count = 0; count < 4; count++) {
      await admin('POST', '/tenants/two/keys', {})
      await issue(mintmark, 'auditor')
    }
    const after = await look()
    const withoutChance = (views: typeof before) =>
      views.map(view => ({ ...view, body: { ...view.body, next_cursor: view.body.next_cursor?.length } }))
    const unused = (views: ReturnType<typeof withoutChance>) =>
      JSON.parse(JSON.stringify(views).replace(/"last_used_at":"[^"]*"/g, '"last_used_at":null'))
    expect(unused(withoutChance(after))).toEqual(unused(withoutChance(before)))
    // Ids are random; no answer has a number that is not a setting.
    expect(JSON.stringify(after)).not.toMatch(/"(seq|number|position|sequence)"/)
  })
})

describe('Every list', () => {
  const lists = adminRoutes({} as never).filter(
    ({ method, query }) => method === 'get' && query && 'cursor' in (query as ZodObject).shape,
  )

  it('rejects the cursors of the others', async () => {
    await issue(mintmark, 'auditor')
    const made = [1, 2].map(() => admin('POST', '/usage-reporters', { audiences: ['vllm'] }))
    const [{ body: reporter } = { body: {} }] = await Promise.all(made)
    await mintmark.database.asOwner(
      `INSERT INTO usage_totals (hour, tenant_id, key_id, model, reporter_id, labels, requests)
       SELECT date_trunc('hour', now(), 'UTC'), tenant, '', '', $1, '{}', 1 FROM unnest('{one,two}'::text[]) AS tenant`,
      [reporter.id],
    )
    // Without groups it is one row.
    const queryOf = (place: string) =>
      place === '/usage' ? 'group_by=tenant&from=2026-01-01T00:00:00Z&limit=1' : 'limit=1'
    for (const audience of ['a', 'b']) {
      const settings = { kind: 'oidc', issuer: 'https://issuer.example.com', audiences: [audience] }
      await admin('POST', '/identity-providers', { ...settings, jwks: EXAMPLE_JWKS })
    }
    for (const jti of ['a'.repeat(22), 'b'.repeat(22)]) await admin('POST', '/token-revocations', { jti })
    for (const id of ['batch', 'premium'])
      await admin('POST', '/set-objects', { set: 'main', kind: 'tier', id, name: id })
    const places = lists.map(({ path }) => path.replace(':tenant', 'one'))
    expect(places.length).toBeGreaterThan(7)
    const cursors = new Map<string, string>()
    for (const place of places) {
      const { headers, body } = await admin('GET', `${place}?${queryOf(place)}`)
      const [, next] = /cursor=([\w-]+)/.exec(headers.get('link') ?? '') ?? []
      cursors.set(place, next ?? body.next_cursor)
    }
    for (const place of places) {
      for (const [from, cursor] of cursors) {
        const { status } = await admin('GET', `${place}?${queryOf(place)}&cursor=${cursor}`)
        expect([place, from, status]).toEqual([place, from, from === place ? 200 : 400])
      }
    }
  })
})

it('a page has 50 entries by default, and at most 100', async () => {
  await mintmark.database.asOwner(
    "INSERT INTO tiers (name, priority) SELECT 'tier-' || n, 0 FROM generate_series(1, 150) AS n",
  )
  expect((await admin('GET', '/tiers')).body.data).toHaveLength(50)
  expect((await admin('GET', '/tiers?limit=100')).body.data).toHaveLength(100)
})

it('the keys of an unknown tenant are 404', async () => {
  expect(await admin('GET', '/tenants/nobody/keys')).toMatchObject({ status: 404 })
})
