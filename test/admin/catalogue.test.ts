import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestService, type TestService } from '../support/test-service.ts'

let mintmark: TestService
let admin: TestService['admin']
beforeAll(async () => {
  mintmark = await startTestService()
  ;({ admin } = mintmark)
  await admin('PUT', '/models/base', {})
})
afterAll(() => mintmark.stop())

const limits = (requests_per_minute: number | null) => ({
  requests_per_minute,
  requests_per_day: null,
  tokens_per_minute: 4_294_967_295,
  tokens_per_day: null,
})
const KINDS = [
  [
    'tiers',
    { priority: -7, description: 'one', limits: limits(600) },
    { priority: 7, description: 'two', limits: limits(null) },
  ],
  ['models', { description: 'one' }, { description: 'two' }],
  ['adapters', { base_model: 'base', description: 'one' }, { base_model: 'base', description: 'two' }],
] as const

describe.each(KINDS)('/%s', (kind, one, two) => {
  it('PUT creates with 201 and a Location, replaces with 200, and is idempotent', async () => {
    const made = await admin('PUT', `/${kind}/a-${kind}`, one)
    expect(made).toMatchObject({ status: 201, body: { name: `a-${kind}`, ...one } })
    expect(made.headers.get('location')).toBe(`/admin/v1/${kind}/a-${kind}`)
    const changed = await admin('PUT', `/${kind}/a-${kind}`, two)
    expect(changed).toMatchObject({ status: 200, body: { name: `a-${kind}`, ...two } })
    expect(changed.headers.get('location')).toBeNull()
    const repeated = await admin('PUT', `/${kind}/a-${kind}`, two)
    expect(repeated).toMatchObject({ status: 200, body: changed.body })
    expect((await admin('GET', `/${kind}/a-${kind}`)).body).toEqual(changed.body)
  })

  it('PUT replaces all fields: omitted ones are empty', async () => {
    await admin('PUT', `/${kind}/b-${kind}`, one)
    const { description: _description, ...rest } = two
    expect((await admin('PUT', `/${kind}/b-${kind}`, rest)).body).toMatchObject({ ...rest, description: '' })
  })

  it('DELETE deletes once', async () => {
    await admin('PUT', `/${kind}/c-${kind}`, one)
    expect(await admin('DELETE', `/${kind}/c-${kind}`)).toMatchObject({ status: 204, text: '' })
    expect(await admin('GET', `/${kind}/c-${kind}`)).toMatchObject({ status: 404 })
    expect(await admin('DELETE', `/${kind}/c-${kind}`)).toMatchObject({ status: 404 })
  })

  it.each(['org/name', 'a:b@c', 'x'.repeat(96)])(
    'a name may be %s, percent-encoded in the path',
    async name => {
      const path = `/${kind}/${encodeURIComponent(`${kind}-${name}`.slice(-96))}`
      const made = await admin('PUT', path, one)
      expect(made.status).toBe(201)
      expect(made.headers.get('location')).toBe(`/admin/v1${path}`)
      expect((await admin('GET', path)).body.name).toBe(`${kind}-${name}`.slice(-96))
      expect((await admin('DELETE', path)).status).toBe(204)
    },
  )

  it.each([
    ...['-a', 'a b', 'a,b', 'ä', 'x'.repeat(97), 'a%b', 'a"b', '/', '//a', '.a', './.a', '~/a'],
    `/${'x'.repeat(96)}`,
    ...(kind === 'models' ? [] : ['/a', './a', '../a']),
  ])('a name may not be %s', async name => {
    expect(await admin('PUT', `/${kind}/${encodeURIComponent(name)}`, one)).toMatchObject({
      status: 400,
      body: { code: 'invalid' },
    })
  })
})

it.each(['/models/Llama-3.1', './Llama', '../Llama/8b', `/${'x'.repeat(95)}`])(
  'a base model may be the path that the engine serves it under: %s',
  async name => {
    const path = `/models/${encodeURIComponent(name)}`
    expect((await admin('PUT', path, {})).status).toBe(201)
    expect((await admin('PUT', '/adapters/of-a-path', { base_model: name })).body.base_model).toBe(name)
    const { tenantId } = await mintmark.tenantWithKey({ models: [name] })
    expect((await admin('GET', `/tenants/${tenantId}`)).body.models).toEqual([name])
  },
)

describe.each([
  ['models', {}],
  ['adapters', { base_model: 'base' }],
])('max_model_len of /%s', (kind, others) => {
  const path = `/${kind}/long-${kind}`
  it('is a number or null, which is its default, and is audited', async () => {
    const put = async (more: object) => (await admin('PUT', path, { ...others, ...more })).body.max_model_len
    expect(await put({ max_model_len: 131_072 })).toBe(131_072)
    expect(await put({})).toBeNull()
    expect(await put({ max_model_len: null })).toBeNull()
    const { body } = await admin('GET', `/audit-events?target=long-${kind}`)
    expect(body.data[0].changes).toEqual({ maxModelLen: { from: 131_072, to: null } })
  })

  it.each([0, -1, 1.5, 2_147_483_648, '8192'])('is not %j', async max_model_len => {
    const { status, body } = await admin('PUT', path, { ...others, max_model_len })
    expect({ status, pointer: body.errors[0].pointer }).toEqual({ status: 400, pointer: '/max_model_len' })
  })
})

it.each(['models', 'adapters'])('no entry of /%s may be called "none", which is reserved', async kind => {
  const body = kind === 'adapters' ? { base_model: 'base' } : {}
  expect(await admin('PUT', `/${kind}/none`, body)).toMatchObject({ status: 400 })
})

describe('Models and adapters share one namespace', () => {
  it('a name is either a model or an adapter', async () => {
    await admin('PUT', '/models/one', {})
    await admin('PUT', '/adapters/two', { base_model: 'base' })
    const conflict = { status: 409, body: { code: 'name_taken' } }
    expect(await admin('PUT', '/adapters/one', { base_model: 'base' })).toMatchObject(conflict)
    expect(await admin('PUT', '/models/two', {})).toMatchObject(conflict)
  })

  it('each is found under its own path only', async () => {
    await admin('PUT', '/models/mine', {})
    expect(await admin('GET', '/adapters/mine')).toMatchObject({ status: 404 })
    expect(await admin('DELETE', '/adapters/mine')).toMatchObject({ status: 404 })
    const names = async (kind: string) =>
      (await admin('GET', `/${kind}`)).body.data.map((entry: { name: string }) => entry.name)
    expect(await names('models')).toContain('mine')
    expect(await names('adapters')).not.toContain('mine')
  })

  it.each([
    ['is not registered', 'nowhere'],
    ['is an adapter', 'leaf'],
  ])('the base model of an adapter must not be %s', async (_, base) => {
    await admin('PUT', '/adapters/leaf', { base_model: 'base' })
    const { status, body } = await admin('PUT', '/adapters/fresh', { base_model: base })
    expect({ status, pointer: body.errors[0].pointer }).toEqual({ status: 400, pointer: '/base_model' })
  })
})

describe('DELETE answers 409 while it is in use', () => {
  beforeAll(async () => {
    for (const name of ['m-tenant', 'm-key', 'm-base']) await admin('PUT', `/models/${name}`, {})
    for (const name of ['a-tenant', 'a-key']) await admin('PUT', `/adapters/${name}`, { base_model: 'base' })
    await admin('PUT', '/adapters/a-on-base', { base_model: 'm-base' })
    for (const name of ['t-tenant', 't-allowed', 't-key'])
      await admin('PUT', `/tiers/${name}`, { priority: 1 })
    const all = {
      tier: 't-tenant',
      allowed_tiers: ['t-tenant', 't-allowed', 't-key'],
      models: ['m-tenant', 'm-key'],
      adapters: ['a-tenant', 'a-key'],
    }
    const { tenantId } = await mintmark.tenantWithKey(all, {
      tier: 't-key',
      models: ['m-key'],
      adapters: ['a-key'],
    })
    // Named by the key only.
    await admin('PATCH', `/tenants/${tenantId}`, {
      allowed_tiers: ['t-tenant', 't-allowed'],
      models: ['m-tenant'],
      adapters: ['a-tenant'],
    })
  })

  it.each([
    ['a tier: by a tenant', 'tiers/t-tenant', 'tier_in_use'],
    ['a tier: by a tenant that may give it to keys', 'tiers/t-allowed', 'tier_in_use'],
    ['a tier: by a key', 'tiers/t-key', 'tier_in_use'],
    ['a model: by a tenant', 'models/m-tenant', 'model_in_use'],
    ['a model: by a key', 'models/m-key', 'model_in_use'],
    ['a model: by an adapter that is based on it', 'models/m-base', 'model_in_use'],
    ['an adapter: by a tenant', 'adapters/a-tenant', 'model_in_use'],
    ['an adapter: by a key', 'adapters/a-key', 'model_in_use'],
  ])('%s', async (_, path, code) => {
    expect(await admin('DELETE', `/${path}`)).toMatchObject({ status: 409, body: { code } })
    expect(await admin('GET', `/${path}`)).toMatchObject({ status: 200 })
  })
})

it('The registered models must fit in a token; the next one is rejected', async () => {
  const put = (index: number) => admin('PUT', `/models/${`${index}`.padEnd(96, 'x')}`, {})
  const answers = []
  for (let index = 0; index < 9; index++) answers.push(await put(index))
  expect(answers[0]).toMatchObject({ status: 201 })
  expect(answers.at(-1)).toMatchObject({ status: 409, body: { code: 'too_many_models' } })
  // There is room for one again, for the first to come.
  expect(await admin('DELETE', `/models/${'0'.padEnd(96, 'x')}`)).toMatchObject({ status: 204 })
  const atOnce = await Promise.all(Array.from({ length: 10 }, (_, index) => put(10 + index)))
  expect(atOnce.filter(({ status }) => status === 201)).toHaveLength(1)
})

describe('Tiers', () => {
  it('premium, standard and batch exist from the start', async () => {
    const { body } = await admin('GET', '/tiers/premium')
    expect(body).toMatchObject({ name: 'premium', priority: -10 })
    expect((await admin('GET', '/tiers/standard')).body.priority).toBe(0)
    expect((await admin('GET', '/tiers/batch')).body.priority).toBe(10)
  })

  it.each([
    [{}],
    [{ priority: '1' }],
    [{ priority: 1.5 }],
    [{ priority: 1_000_000_001 }],
    [{ priority: null }],
  ])('a priority is a whole number in range, not %j', async body => {
    const answer = await admin('PUT', '/tiers/odd', body)
    expect({ status: answer.status, pointer: answer.body.errors[0].pointer }).toEqual({
      status: 400,
      pointer: '/priority',
    })
  })
})
