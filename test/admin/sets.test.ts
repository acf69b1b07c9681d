import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestService, type TestService } from '../support/test-service.ts'
import { issue } from './admins.ts'

/** Which set an object belongs to: recorded with its creation, and checked with each change (header Mintmark-Set). */

let mintmark: TestService
beforeAll(async () => {
  mintmark = await startTestService()
  await mintmark.admin('POST', '/tenants', { id: 'acme' })
})
afterAll(() => mintmark.stop())

const ask = (method: string, path: string, body: unknown, set: string) =>
  mintmark.admin(method, path, body, { 'mintmark-set': set })
const members = async (set: string) =>
  (await mintmark.admin('GET', `/set-objects?set=${set}`)).body.data.map(
    ({ kind, name, created_by_set }: Record<string, unknown>) => `${kind} ${name} ${created_by_set}`,
  )
const code = ({ status, body }: { status: number; body: { code?: string } }) => [status, body?.code]

describe('A change for a set', () => {
  it('puts what it creates into the set, in its transaction, and the trail says so', async () => {
    await ask('PUT', '/tiers/one', { priority: 1 }, 'first/one')
    await ask('POST', '/tenants', { id: 'one' }, 'first/one')
    const { body } = await ask('POST', '/tenants/one/workload-keys', { name: 'ci' }, 'first/one%2Fci')
    expect(body.credential).toBe(null)
    expect(await members('first')).toEqual(['key one/ci true', 'tenant one true', 'tier one true'])
    const [event] = await mintmark.database.asOwner(
      "SELECT changes->'set' AS set FROM audit_events WHERE target_id = $1",
      [body.key],
    )
    expect(event).toEqual({ set: { to: 'first' } })
  })

  it('puts a usage reporter into the set; a change of it is made for that set only', async () => {
    const { body } = await ask('POST', '/usage-reporters', { audiences: ['vllm'] }, 'reporting/envoy')
    expect(await members('reporting')).toEqual(['usage-reporter envoy true'])
    const path = `/usage-reporters/${body.id}`
    expect(code(await ask('DELETE', path, undefined, 'other/envoy'))).toEqual([409, 'in_another_set'])
    expect((await mintmark.admin('GET', path)).body.state).toBe('active')
    expect((await ask('DELETE', path, undefined, 'reporting/envoy')).status).toBe(204)
    // Its row stays, because totals name it: so does its place in the set, until it is released.
    expect(await members('reporting')).toEqual(['usage-reporter envoy true'])
    expect((await mintmark.admin('DELETE', `/set-objects?kind=usage-reporter&id=${body.id}`)).status).toBe(
      204,
    )
    expect(await members('reporting')).toEqual([])
  })

  it('creates nothing when the rest of it fails', async () => {
    expect(code(await ask('POST', '/tenants', { id: 'bad', tier: 'nope' }, 'first/bad'))).toEqual([
      400,
      'invalid',
    ])
    expect(await members('first')).not.toContain('tenant bad true')
  })

  it.each([
    ['of another set', 'other/one', 'in_another_set'],
    ['of no set', 'first/acme', 'in_no_set'],
  ])('does not change an object %s', async (_, set, reason) => {
    const id = reason === 'in_no_set' ? 'acme' : 'one'
    const before = (await mintmark.admin('GET', `/tenants/${id}`)).body
    for (const [method, path, body] of [
      ['PATCH', `/tenants/${id}`, { name: 'changed' }],
      ['POST', `/tenants/${id}/suspend`, undefined],
      ['DELETE', `/tenants/${id}?cascade=true`, undefined],
    ] as const)
      expect(code(await ask(method, path, body, set)), path).toEqual([409, reason])
    expect((await mintmark.admin('GET', `/tenants/${id}`)).body).toEqual(before)
  })

  it('gives a name once: of twenty at the same time one creates the key', async () => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, () =>
        ask('POST', '/tenants/acme/workload-keys', { name: 'raced' }, 'race/acme%2Fraced'),
      ),
    )
    const refused = answers.filter(({ status }) => status !== 201)
    expect(refused).toHaveLength(19)
    // Those that waited too long for their turn are answered 503.
    for (const { status, body } of refused)
      expect(['name_taken_in_set', 'unavailable'], `${status}`).toContain(body.code)
    const { data } = (await mintmark.admin('GET', '/tenants/acme/keys')).body
    expect(data.filter(({ name }: { name: string }) => name === 'raced')).toHaveLength(1)
  })

  it.each([
    ['without a name', 'first'],
    ['of a set that cannot be', 'First/x'],
    ['with a name that is not percent-encoded', 'first/a/b'],
    ['with broken encoding', 'first/%E0%A4%A'],
    ['with an empty name', 'first/'],
    ['with a NUL', 'first/%00'],
  ])('is refused with a header %s', async (_, value) => {
    const { status, text } = await ask('PUT', '/tiers/never', { priority: 1 }, value)
    expect([status, text]).toEqual([400, expect.stringContaining('Invalid header Mintmark-Set')])
  })

  it('is refused where an operation does not support it, and without the right', async () => {
    expect(code(await ask('POST', '/admin-tokens', { role: 'auditor' }, 'first/x'))).toEqual([400, 'invalid'])
    const bound = await issue(mintmark, 'tenant-admin', 'acme')
    const answer = await bound.call('POST', '/tenants/acme/keys', {}, { 'mintmark-set': 'first/x' })
    expect(code(answer)).toEqual([403, 'forbidden'])
  })
})

describe('A set', () => {
  const rename = (from: string, to: string) => mintmark.admin('POST', '/set-objects/rename', { from, to })

  it('is renamed: its objects keep their names, and what it created can be deleted for the new name only', async () => {
    await ask('PUT', '/tiers/moving', { priority: 1 }, 'old-name/moving')
    await ask('POST', '/tenants', { id: 'moving' }, 'old-name/moving')
    const before = await members('old-name')
    expect((await rename('old-name', 'new-name')).body).toEqual({ set: 'new-name', objects: 2 })
    expect([await members('old-name'), await members('new-name')]).toEqual([[], before])
    expect(code(await ask('DELETE', '/tenants/moving', undefined, 'old-name/moving'))).toEqual([
      409,
      'in_another_set',
    ])
    expect((await ask('DELETE', '/tenants/moving', undefined, 'new-name/moving')).status).toBe(204)
    const [event] = await mintmark.database.asOwner(
      "SELECT target_id, changes FROM audit_events WHERE action = 'set.rename'",
    )
    expect(event).toEqual({ target_id: 'new-name', changes: { name: { from: 'old-name', to: 'new-name' } } })
  })

  it('is not renamed to the name of another, nor without an object', async () => {
    await ask('PUT', '/tiers/here', { priority: 1 }, 'here/here')
    await ask('PUT', '/tiers/there', { priority: 1 }, 'there/there')
    expect(code(await rename('here', 'there'))).toEqual([409, 'set_exists'])
    expect(code(await rename('nowhere', 'anywhere'))).toEqual([404, 'not_found'])
    expect((await rename('here', 'here')).body).toEqual({ set: 'here', objects: 1 })
    expect([await members('here'), await members('there')]).toEqual([['tier here true'], ['tier there true']])
  })
})

describe('An object', () => {
  const adopt = (id: string, set: string, name = id, kind = 'tier') =>
    mintmark.admin('POST', '/set-objects', { set, kind, id, name })

  it('of no set is adopted, renamed, and released; each is audited once', async () => {
    const events = async () =>
      (
        await mintmark.database.asOwner<{ action: string }>(
          "SELECT action FROM audit_events WHERE action LIKE 'set.%' ORDER BY id",
        )
      ).map(({ action }) => action)
    const before = (await events()).length
    expect((await adopt('premium', 'second')).body).toMatchObject({ name: 'premium', created_by_set: false })
    await adopt('premium', 'second')
    await adopt('premium', 'second', 'best')
    expect(await members('second')).toEqual(['tier best false'])
    expect(code(await adopt('premium', 'third'))).toEqual([409, 'in_another_set'])
    expect(code(await adopt('batch', 'second', 'best'))).toEqual([409, 'name_taken_in_set'])
    expect((await mintmark.admin('DELETE', '/set-objects?kind=tier&id=premium')).status).toBe(204)
    expect((await mintmark.admin('DELETE', '/set-objects?kind=tier&id=premium')).status).toBe(404)
    expect((await events()).slice(before)).toEqual(['set.adopt', 'set.adopt', 'set.release'])
  })

  it('that does not exist is not adopted', async () => {
    for (const kind of ['tier', 'model', 'adapter', 'tenant', 'key', 'identity-provider'])
      expect(code(await adopt('nope', 'second', 'nope', kind)), kind).toEqual([404, 'not_found'])
    await mintmark.admin('PUT', '/models/a-model', {})
    expect(code(await adopt('a-model', 'second', 'a-model', 'adapter'))).toEqual([404, 'not_found'])
  })

  it('leaves its set when it is deleted, with its keys', async () => {
    await ask('POST', '/tenants', { id: 'leaving' }, 'fourth/leaving')
    await ask('POST', '/tenants/leaving/keys', {}, 'fourth/leaving%2Fkey')
    expect(await members('fourth')).toHaveLength(2)
    await ask('DELETE', '/tenants/leaving?cascade=true', undefined, 'fourth/leaving')
    expect(await members('fourth')).toEqual([])
  })
})
