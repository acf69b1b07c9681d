import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { exchange } from '../oauth/token-post.ts'
import { startTestService, type TestService } from '../support/test-service.ts'

let mintmark: TestService
let admin: TestService['admin']
beforeAll(async () => {
  mintmark = await startTestService()
  ;({ admin } = mintmark)
})
afterAll(() => mintmark.stop())

const rotate = (keyId: string, options?: object) => admin('POST', `/keys/${keyId}/rotate`, options)
const works = async (secret: string) => (await exchange(mintmark, secret)).status === 200
const statesOf = ({ secrets }: { secrets: { id: string; state: string }[] }) =>
  secrets.map(({ id, state }) => [id, state])

/** A key that was rotated once: two live secrets. */
async function rotated() {
  const { keyId, secret, secretId } = await mintmark.tenantWithKey()
  const { body } = await rotate(keyId)
  return { keyId, older: { id: secretId, secret }, newer: { id: body.secret_id, secret: body.secret } }
}

describe('POST /keys/{id}/rotate', () => {
  it('returns 201 with the new secret of the same key; newest first', async () => {
    const { keyId, secretId } = await mintmark.tenantWithKey()
    const { status, headers, body } = await rotate(keyId)
    expect({ status, location: headers.get('location') }).toEqual({
      status: 201,
      location: `/admin/v1/keys/${keyId}`,
    })
    expect(body).toMatchObject({ id: keyId, secret: expect.stringMatching(/^mmk_/) })
    expect(statesOf(body)).toEqual([
      [body.secret_id, 'live'],
      [secretId, 'ending'],
    ])
  })

  it.each([
    ['a day, when nothing is said', {}, 86_400],
    ['what is said', { overlap_seconds: 60 }, 60],
    ['up to 30 days', { overlap_seconds: 2_592_000 }, 2_592_000],
  ])('gives the older secret %s', async (_, options, seconds) => {
    const { keyId, secret } = await mintmark.tenantWithKey()
    const before = Date.now()
    const { body } = await rotate(keyId, options)
    const overlap = Date.parse(body.secrets[1].ends_at) - before
    // The clocks of Postgres and of this test run on one machine.
    expect(Math.abs(overlap / 1000 - seconds)).toBeLessThan(20)
    expect(await Promise.all([works(secret), works(body.secret)])).toEqual([true, true])
  })

  it('ends the older secret at once with an overlap of 0', async () => {
    const { keyId, secret } = await mintmark.tenantWithKey()
    const { body } = await rotate(keyId, { overlap_seconds: 0 })
    expect(body.secrets[1].state).toBe('ended')
    expect(await Promise.all([works(secret), works(body.secret)])).toEqual([false, true])
  })

  it.each([
    ['an overlap under 0', { overlap_seconds: -1 }, '/overlap_seconds'],
    ['an overlap over 30 days', { overlap_seconds: 2_592_001 }, '/overlap_seconds'],
    ['half a second', { overlap_seconds: 0.5 }, '/overlap_seconds'],
    ['replacing neither', { replace: 'both' }, '/replace'],
    ['a field that is not known', { overlap: 1 }, '/overlap'],
  ])('rejects %s', async (_, options, pointer) => {
    const { keyId } = await mintmark.tenantWithKey()
    const { status, body } = await rotate(keyId, options)
    expect({ status, pointer: body.errors[0].pointer }).toEqual({ status: 400, pointer })
  })

  it('returns 409 for an expired key, because the new secret would be unusable', async () => {
    const { keyId } = await mintmark.tenantWithKey()
    await mintmark.database.asOwner('UPDATE api_keys SET expires_at = now() WHERE id = $1', [keyId])
    expect(await rotate(keyId)).toMatchObject({ status: 409, body: { code: 'key_expired' } })
  })
})

describe('With two live secrets, a rotation', () => {
  it.each([[{}], [{ replace: null }]])('is 409 unless it names the one to end: %j', async options => {
    const { keyId, older, newer } = await rotated()
    expect(await rotate(keyId, options)).toMatchObject({ status: 409, body: { code: 'two_live_secrets' } })
    expect(await Promise.all([works(older.secret), works(newer.secret)])).toEqual([true, true])
  })

  it.each([
    ['oldest', [false, true], ['live', 'ending', 'ended']],
    ['newest', [true, false], ['live', 'ended', 'ending']],
  ])('ends the %s one now, and gives the other its overlap', async (replace, stillWorking, states) => {
    const { keyId, older, newer } = await rotated()
    const { status, body } = await rotate(keyId, { replace })
    expect({ status, states: statesOf(body).map(([, state]) => state) }).toEqual({ status: 201, states })
    expect(await Promise.all([works(older.secret), works(newer.secret)])).toEqual(stillWorking)
    expect(await works(body.secret)).toBe(true)
  })

  it('never extends a secret that is ending', async () => {
    const { keyId } = await mintmark.tenantWithKey()
    const first = (await rotate(keyId, { overlap_seconds: 60 })).body
    const second = (await rotate(keyId, { replace: 'newest', overlap_seconds: 86_400 })).body
    expect(second.secrets[2]).toEqual(first.secrets[1])
  })

  it('is possible again once one of them has ended', async () => {
    const { keyId, older } = await rotated()
    await admin('POST', `/keys/${keyId}/secrets/${older.id}/revoke`)
    expect(await rotate(keyId)).toMatchObject({ status: 201 })
  })

  it('leaves two when two callers rotate concurrently', async () => {
    const { keyId } = await mintmark.tenantWithKey()
    const answers = await Promise.all([rotate(keyId), rotate(keyId)])
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409])
  })
})

describe('POST /keys/{id}/secrets/{secret}/revoke', () => {
  it('ends only that secret, and is idempotent', async () => {
    const { keyId, older, newer } = await rotated()
    const first = await admin('POST', `/keys/${keyId}/secrets/${older.id}/revoke`)
    expect(first.status).toBe(200)
    expect(statesOf(first.body)).toEqual([
      [newer.id, 'live'],
      [older.id, 'revoked'],
    ])
    expect((await admin('POST', `/keys/${keyId}/secrets/${older.id}/revoke`)).body).toEqual(first.body)
    expect(await Promise.all([works(older.secret), works(newer.secret)])).toEqual([false, true])
  })

  it('is 404 for a secret of another key', async () => {
    const [one, other] = [await rotated(), await rotated()]
    expect(await admin('POST', `/keys/${one.keyId}/secrets/${other.newer.id}/revoke`)).toMatchObject({
      status: 404,
    })
    expect(await works(other.newer.secret)).toBe(true)
  })
})

describe('A secret is seen once', () => {
  it('in the 201 of its creation: in no later response, no audit row, no table and no log line', async () => {
    const { keyId, older, newer } = await rotated()
    const { tenant } = (await admin('PATCH', `/keys/${keyId}`, { name: 'seen' })).body
    await exchange(mintmark, newer.secret)
    const answers = [`/keys/${keyId}`, '/keys', `/tenants/${tenant}/keys`, `/tenants/${tenant}`].map(path =>
      admin('GET', path),
    )
    const texts = (await Promise.all(answers)).map(({ text }) => text)
    const tables = await mintmark.database.asOwner<{ name: string }>(
      "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'",
    )
    for (const { name } of tables) {
      const rows = await mintmark.database.asOwner<{ row: string }>(`SELECT t::text AS row FROM "${name}" t`)
      texts.push(...rows.map(({ row }) => row))
    }
    const everything = [...texts, ...mintmark.logs].join('\n')
    expect(everything).toContain(newer.id)
    for (const { secret } of [older, newer]) expect(everything).not.toContain(secret.slice(-49))
  })
})
