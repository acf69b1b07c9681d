import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestService, type TestService } from '../support/test-service.ts'

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
]

describe.each(LISTS)('GET %s', (path, field, entries) => {
  const shown = (body: { data: Record<string, string>[] }) => body.data.map(entry => entry[field])

  it('gives all, newest first, and no cursor at the end', async () => {
    const { status, body } = await admin('GET', path)
    expect({ status, shown: shown(body), cursor: body.next_cursor }).toEqual({
      status: 200,
      shown: entries,
      cursor: null,
    })
  })

  it.each([1, 2, entries.length])('gives the same in pages of %i', async limit => {
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

  it('goes on after the cursor when something new came in between', async () => {
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
  ])('refuses ?%s', async query => {
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
  const refused = { status: 400, body: { code: 'invalid', errors: [{ pointer: '/cursor' }] } }

  it.each([
    ['of another list', '/tenants', '/models'],
    ['of another tenant’s keys', '/tenants/one/keys', '/tenants/two/keys'],
    ['of all keys, for a tenant’s', '/keys', '/tenants/one/keys'],
  ])('%s is refused', async (_, from, to) => {
    expect(await admin('GET', `${to}?cursor=${await cursorOf(from)}`)).toMatchObject(refused)
  })

  it.each([
    ['nothing', ''],
    ['garbage', '%F0%9F%94%91'],
    ['a place that is no number', Buffer.from('/tenants#one').toString('base64url')],
    ['a place beyond any number', Buffer.from(`/tenants#${'9'.repeat(40)}`).toString('base64url')],
    ['SQL', Buffer.from("/tenants#1' OR 1=1").toString('base64url')],
  ])('that is %s is refused', async (_, cursor) => {
    expect(await admin('GET', `/tenants?cursor=${cursor}`)).toMatchObject(refused)
  })
})

it('a page has 50 entries unless it says otherwise, and 100 at the most', async () => {
  await mintmark.database.asOwner(
    "INSERT INTO tiers (name, priority) SELECT 'tier-' || n, 0 FROM generate_series(1, 150) AS n",
  )
  expect((await admin('GET', '/tiers')).body.data).toHaveLength(50)
  expect((await admin('GET', '/tiers?limit=100')).body.data).toHaveLength(100)
})

it('the keys of a tenant that is not there are 404', async () => {
  expect(await admin('GET', '/tenants/nobody/keys')).toMatchObject({ status: 404 })
})
