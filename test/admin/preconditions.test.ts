import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { adminRoutes } from '../../src/admin/admin-app.ts'
import type { AdminRoute } from '../../src/admin/route.ts'
import { promptedClock } from '../support/adjustable-clock.ts'
import { type JsonAnswer, startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { placed } from './places.ts'

/** ETag, If-Match and If-None-Match (RFC 9110 §8.8.3, §13.1), on every route from the table that mounts them. */

const clock = promptedClock()
let mintmark: TestService
let admin: TestService['admin']
beforeAll(async () => {
  mintmark = await startTestService({ overrides: { clock } })
  ;({ admin } = mintmark)
  await mintmark.tenantWithKey({ id: 'own' })
  await admin('PUT', '/models/base', {})
})
afterAll(() => mintmark.stop())

const STRONG = /^"[A-Za-z0-9_-]{22}"$/
const etagOf = ({ headers }: JsonAnswer) => headers.get('etag') ?? ''

const routes = adminRoutes({} as never)
const methodOf = ({ method }: AdminRoute) => method.toUpperCase()
const named = (those: readonly AdminRoute[]) =>
  those.map(definition => [`${methodOf(definition)} ${definition.path}`, definition] as const)
const takes = ({ preconditions }: AdminRoute) => preconditions?.includes('If-Match') ?? false
const changes = routes.filter(({ method }) => method !== 'get')

/** A body that each of them accepts. */
const bodyOf = ({ method, path }: AdminRoute): object | undefined => {
  if (method === 'delete') return undefined
  if (path === '/tiers/:name') return { priority: 1 }
  if (path === '/adapters/:name') return { base_model: 'base' }
  return {}
}

/** The object of a change, read directly. */
const subject = (place: string) =>
  admin(
    'GET',
    place
      .replace(/\?.*$/, '')
      .replace(
        /\/(suspend|resume|enable|disable|rotate|hold|release|secrets\/\w+\/(?:revoke|confirm)|revoke)$/,
        '',
      ),
  )

/** Without values that change with time alone: when each replica was last seen, and whether it is silent. */
const stored = ({ body }: { body: Record<string, unknown> }) => ({
  ...body,
  ...(Array.isArray(body.replicas) && {
    replicas: body.replicas.map(replica => ({ ...replica, seen_at: undefined, state: undefined })),
  }),
})

let count = 0
const deletable = async (definition: AdminRoute) => {
  if (definition.method !== 'delete' || !definition.path.startsWith('/tenants')) return undefined
  const id = `gone-${++count}`
  await admin('POST', '/tenants', { id })
  return `/tenants/${id}`
}
const placeOf = async (definition: AdminRoute) =>
  (await deletable(definition)) ?? placed(mintmark, definition, 'own')

describe.each(
  named(routes.filter(({ method, path }) => method === 'get' && /\/:\w+$|installation$/.test(path))),
)('%s', (_, definition) => {
  let place: string
  beforeAll(async () => {
    place = await placed(mintmark, definition, 'own')
  })

  it('has a strong ETag, always the same', async () => {
    const first = await admin('GET', place)
    expect(first.status).toBe(200)
    expect(etagOf(first)).toMatch(STRONG)
    expect(etagOf(await admin('GET', place))).toBe(etagOf(first))
  })

  it('is 412 under an If-Match of another version', async () => {
    const etag = etagOf(await admin('GET', place))
    expect((await admin('GET', place, undefined, { 'if-match': etag })).status).toBe(200)
    expect((await admin('GET', place, undefined, { 'if-match': '"other"' })).status).toBe(412)
  })

  it('is 304 for a client that has it, where the version covers the whole response', async () => {
    const etag = etagOf(await admin('GET', place))
    const again = (known: string) => admin('GET', place, undefined, { 'if-none-match': known })
    const spared = definition.preconditions?.includes('If-None-Match')
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const answer = await again(known)
      expect([answer.status, etagOf(answer)], known).toEqual([spared ? 304 : 200, etag])
      if (spared) expect(answer.text).toBe('')
    }
    expect((await again('"other"')).status).toBe(200)
  })
})

it('the object of a change can be read, with its ETag', () => {
  const read = routes.filter(({ method, tellsVersion }) => method === 'get' && tellsVersion)
  for (const { path } of changes.filter(takes)) {
    expect(
      read.some(one => path === one.path || path.startsWith(`${one.path}/`)),
      path,
    ).toBe(true)
  }
})

describe.each(named(changes.filter(takes)))('%s', (_, definition) => {
  const ask = (place: string, ifMatch: string) =>
    admin(methodOf(definition), place, bodyOf(definition), { 'if-match': ifMatch })
  let shared: string | undefined
  /** A refusal leaves the object as it is: the same one for each, unless it is known by a name and others delete it. */
  const unchanged = async () => {
    if (!shared || /:(name|kid)/.test(definition.path)) shared = await placeOf(definition)
    return shared
  }

  it.each([
    ['another version', () => '"other"'],
    ['several others', () => '"other", "another"'],
    ['this one as a weak tag', (etag: string) => `W/${etag}`],
  ])('is 412 for %s, and changes nothing', async (_name, header) => {
    const place = await unchanged()
    const before = await subject(place)
    const answer = await ask(place, header(etagOf(before)))
    expect(answer).toMatchObject({ status: 412, body: { code: 'precondition_failed', status: 412 } })
    expect(etagOf(answer)).toBe(etagOf(before))
    expect(stored(await subject(place))).toEqual(stored(before))
  })

  it.each([
    ['this version', (etag: string) => etag],
    ['this version among others', (etag: string) => `"other" , ${etag}`],
    ['any', () => '*'],
  ])('succeeds for %s, and returns the new one', async (_name, header) => {
    const place = await placeOf(definition)
    const answer = await ask(place, header(etagOf(await subject(place))))
    expect([200, 201, 204], answer.text).toContain(answer.status)
    if (answer.status !== 204) expect(etagOf(answer)).toBe(etagOf(await subject(place)))
  })

  it.each(['', 'other', '"other', '"a" "b"', '*, "a"', 'W/', '"a", b'])(
    'is 400 for If-Match: %s',
    async header => {
      const answer = await ask(await unchanged(), header)
      expect([answer.status, answer.body.errors?.[0]?.message]).toEqual([
        400,
        'Invalid header If-Match: it must be * or a list of ETags in double quotes',
      ])
    },
  )
})

describe.each(named(changes.filter(route => !takes(route))))('%s', (_, definition) => {
  let place: string
  beforeAll(async () => {
    place = await placed(mintmark, definition, 'own')
  })

  it.each(['If-Match', 'If-None-Match'])(
    'refuses %s by name, because it would not keep to it',
    async header => {
      const answer = await admin(methodOf(definition), place, bodyOf(definition), { [header]: '"any"' })
      expect([answer.status, answer.body.errors?.[0]?.message]).toEqual([
        400,
        `Invalid header ${header}: it is not supported by this operation: remove it`,
      ])
    },
  )
})

describe('A response with one object', () => {
  it('has its ETag after a creation, too', async () => {
    const tenant = await admin('POST', '/tenants', { id: 'made' })
    const key = await admin('POST', '/tenants/made/keys', {})
    const token = await admin('POST', '/admin-tokens', { role: 'auditor' })
    const tier = await admin('PUT', '/tiers/made', { priority: 1 })
    for (const [made, place] of [
      [tenant, '/tenants/made'],
      [key, `/keys/${key.body.id}`],
      [token, `/admin-tokens/${token.body.id}`],
      [tier, '/tiers/made'],
    ] as const) {
      expect(made.status).toBe(201)
      expect(etagOf(made)).toMatch(STRONG)
      expect(etagOf(made)).toBe(etagOf(await admin('GET', place)))
    }
  })

  it('has the ETag of the first response when it is repeated under an Idempotency-Key, whatever If-Match is', async () => {
    const { keyId } = await mintmark.tenantWithKey()
    const etag = etagOf(await admin('GET', `/keys/${keyId}`))
    const disable = (ifMatch: string) =>
      admin('POST', `/keys/${keyId}/disable`, {}, { 'idempotency-key': `d-${keyId}`, 'if-match': ifMatch })
    const first = await disable(etag)
    await admin('PATCH', `/keys/${keyId}`, { name: 'changed since' })
    for (const ifMatch of [etag, '"other"', '*']) {
      const again = await disable(ifMatch)
      expect([again.status, etagOf(again), again.body]).toEqual([200, etagOf(first), first.body])
    }
  })

  it('that was rejected by If-Match may be repeated under the same Idempotency-Key', async () => {
    const { keyId } = await mintmark.tenantWithKey()
    const disable = (ifMatch: string) =>
      admin('POST', `/keys/${keyId}/disable`, {}, { 'idempotency-key': `r-${keyId}`, 'if-match': ifMatch })
    const refused = await disable('"other"')
    expect([refused.status, (await disable(etagOf(refused))).status]).toEqual([412, 200])
  })
})

describe('The version of a key', () => {
  it('is unchanged by uses of the key and by restrictions of its tenant, and changes with its secrets', async () => {
    const { tenantId, keyId, secret } = await mintmark.tenantWithKey({ token_ttl_seconds: 300 })
    const read = () => admin('GET', `/keys/${keyId}`)
    const before = await read()
    await mintmark.token({ grant_type: 'client_credentials', client_secret: secret })
    await admin('PATCH', `/tenants/${tenantId}`, { token_ttl_seconds: 60 })
    const later = () => clock.runJobs().then(read)
    const used = await until('the use is written', later, ({ body }) => body.secrets[0].last_used_at !== null)
    expect(used.body.effective).not.toEqual(before.body.effective)
    expect(etagOf(used)).toBe(etagOf(before))
    const rotated = await admin('POST', `/keys/${keyId}/rotate`, {}, { 'if-match': etagOf(before) })
    expect(rotated.status).toBe(201)
    expect(etagOf(rotated)).not.toBe(etagOf(before))
  })
})

describe('If-None-Match: * on a PUT', () => {
  it.each([
    ['/tiers/fresh', { priority: 7 }],
    ['/models/fresh', {}],
    ['/adapters/fresh-one', { base_model: 'base' }],
  ])('creates %s, and never changes it', async (place, body) => {
    const make = () => admin('PUT', place, { ...body, description: 'made' }, { 'if-none-match': '*' })
    const [first, second] = [await make(), await make()]
    expect([first.status, second.status, etagOf(second)]).toEqual([201, 412, etagOf(first)])
  })

  it('does the opposite with If-Match: *', async () => {
    const answer = await admin('PUT', '/tiers/absent', { priority: 1 }, { 'if-match': '*' })
    expect([answer.status, answer.headers.get('etag')]).toEqual([412, null])
    expect((await admin('GET', '/tiers/absent')).status).toBe(404)
  })
})

describe('Of two concurrent changes to one version', () => {
  const subjects: [string, () => Promise<string>, (n: number) => object][] = [
    ['tenant', async () => `/tenants/${(await mintmark.tenantWithKey()).tenantId}`, n => ({ name: `n${n}` })],
    ['key', async () => `/keys/${(await mintmark.tenantWithKey()).keyId}`, n => ({ name: `n${n}` })],
    ['policy', async () => '/installation', n => ({ policy: { max_key_lifetime_seconds: 31_000_000 + n } })],
  ]

  it.each(subjects)('exactly one wins, on a %s, eight times', async (_, make, patch) => {
    for (let round = 0; round < 8; round++) {
      const place = await make()
      const etag = etagOf(await admin('GET', place))
      const send = (n: number) => admin('PATCH', place, patch(10 * round + n), { 'if-match': etag })
      const answers = await Promise.all([send(1), send(2), send(3)])
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 412, 412])
      const winner = answers.find(({ status }) => status === 200) as JsonAnswer
      const now = await admin('GET', place)
      expect([etagOf(winner), winner.body.name, winner.body.policy]).toEqual([
        etagOf(now),
        now.body.name,
        now.body.policy,
      ])
    }
  })
})
