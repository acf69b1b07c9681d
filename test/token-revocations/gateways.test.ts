import { once } from 'node:events'
import { type ClientHttp2Session, connect } from 'node:http2'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { delimitedField, eachField } from '../../src/http/protobuf.ts'
import { FILTER_NAME } from '../../src/xds/deny-filter.ts'
import { EXTENSION_CONFIG, METHOD } from '../../src/xds/discovery-messages.ts'
import { issue } from '../admin/admins.ts'
import { cliOf } from '../cli/mintmark.ts'
import { scrape } from '../observability/metrics-text.ts'
import { promptedClock } from '../support/adjustable-clock.ts'
import { startReplica } from '../support/replicas.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

/** `GET /admin/v1/gateways`, with connections to two replicas on one database. */

const [NAMED, UNNAMED, EDGE] = ['n'.repeat(32), 'u'.repeat(32), 'e'.repeat(32)]

let mintmark: TestService
let other: TestService
const clocks = [promptedClock(), promptedClock()] as const
/** Each replica writes for the others now which gateways it has, as it does every five seconds. */
const reported = () => Promise.all(clocks.map(clock => clock.runJobs()))
const sessions = new Set<ClientHttp2Session>()
beforeAll(async () => {
  const env = {
    MINTMARK_XDS_TOKENS: `inference:${NAMED},edge:${EDGE},${UNNAMED}`,
    MINTMARK_XDS_PORT: '0',
  }
  mintmark = await startTestService({ env, overrides: { clock: clocks[0] } })
  other = await startReplica(mintmark, {}, { clock: clocks[1] })
})
afterEach(() => {
  for (const session of sessions) session.destroy()
  sessions.clear()
})
afterAll(async () => {
  await other.stop()
  await mintmark.stop()
})

const text = (field: number, value: string) => delimitedField(field, value)
const framed = (message: Buffer) => {
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}

/** An Envoy's side of the protocol. It answers each list with what `answer` makes of its version and nonce. */
async function gateway(
  at: TestService,
  {
    token = NAMED,
    id = 'envoy-1',
    cluster = 'claimed',
    answer = acknowledge,
  }: { token?: string; id?: string; cluster?: string; answer?: Answer } = {},
): Promise<() => void> {
  const session = connect(`http://127.0.0.1:${at.service.addresses.xds?.port}`)
  sessions.add(session)
  session.on('error', () => {})
  const stream = session.request({ ':method': 'POST', ':path': METHOD, authorization: `Bearer ${token}` })
  stream.on('error', () => {})
  const asked = Buffer.concat([text(3, FILTER_NAME), text(4, EXTENSION_CONFIG)])
  const node = delimitedField(2, Buffer.concat([text(1, id), text(2, cluster)]))
  stream.write(framed(Buffer.concat([node, asked])))
  stream.on('data', (chunk: Buffer) => {
    const fields: Record<number, string> = {}
    eachField(chunk.subarray(5), { fields: 100 }, (field, value) => {
      fields[field] = String(value)
    })
    const sent = answer(fields[1] ?? '', fields[5] ?? '')
    if (sent) stream.write(framed(Buffer.concat([sent, asked])))
  })
  await once(stream, 'data')
  return () => session.destroy()
}
type Answer = (version: string, nonce: string) => Buffer | undefined
const acknowledge: Answer = (version, nonce) => Buffer.concat([text(1, version), text(5, nonce)])
const reject: Answer = (_, nonce) =>
  Buffer.concat([text(5, nonce), delimitedField(6, text(2, 'no such\u0007 filter'))])

interface Shown {
  name: string
  state: string
  instances: { id: string; state: string }[]
}
const listed = async (): Promise<Shown[]> => {
  await reported()
  return (await mintmark.admin('GET', '/gateways')).body.data
}
const becomes = (name: string, expected: object) =>
  until(
    `${name}: ${JSON.stringify(expected)}`,
    async () => (await listed()).find(each => each.name === name),
    found => {
      try {
        expect(found).toMatchObject(expected)
        return true
      } catch {
        return false
      }
    },
  )

describe('GET /admin/v1/gateways', () => {
  it('shows registered gateways that are not connected', async () => {
    expect((await mintmark.admin('GET', '/gateways')).body).toEqual({
      data: ['edge', 'inference'].map(name => ({
        name,
        registered: true,
        state: 'not_connected',
        disconnected_at: null,
        instances: [],
      })),
      next_cursor: null,
    })
  })

  it('shows those of every replica, and when the last one left', async () => {
    const leave = await gateway(mintmark)
    await gateway(other, { id: 'envoy-2' })
    await gateway(other, { token: UNNAMED, id: 'envoy-3' })
    await becomes('inference', {
      registered: true,
      state: 'current',
      instances: [
        { id: 'envoy-1', state: 'current', connections: 1, behind_since: null, rejection: null },
        { id: 'envoy-2', state: 'current' },
      ],
    })
    await becomes('claimed', { registered: false, instances: [{ id: 'envoy-3' }] })
    leave()
    await becomes('inference', { state: 'current', instances: [{ id: 'envoy-2' }], disconnected_at: null })
    for (const session of sessions) session.destroy()
    await becomes('inference', { state: 'not_connected', disconnected_at: expect.any(String) })
  })

  it('shows one that does not answer as behind, and one that rejects the list with its reason', async () => {
    const begunMs = performance.now()
    await gateway(mintmark, { answer: () => undefined })
    await becomes('inference', {
      state: 'behind',
      instances: [{ version: null, behind_since: expect.any(String) }],
    })
    await gateway(mintmark, { id: 'envoy-9', answer: reject })
    await becomes('inference', { state: 'rejected' })
    const [instance] = (await listed()).flatMap(({ instances }) =>
      instances.filter(({ id }) => id === 'envoy-9'),
    )
    expect(instance).toMatchObject({
      state: 'rejected',
      rejection: { reason: expect.stringMatching(/^no such filter$/) },
    })
    const { series } = await scrape(mintmark.service.urls.ops)
    expect(series.get('mintmark_xds_lists_rejected_total')).toBe(1)
    expect(series.get('mintmark_xds_gateways{gateway="inference"}')).toBe(2)
    expect(series.get('mintmark_xds_gateways{gateway="other"}')).toBe(0)
    const behindSeconds = series.get('mintmark_xds_gateways_behind_seconds')
    expect(behindSeconds).toBeGreaterThan(0)
    expect(behindSeconds).toBeLessThan((performance.now() - begunMs) / 1000)
  })
})

it('a revocation says which gateways have it', async () => {
  const { keyId } = await mintmark.tenantWithKey()
  await gateway(mintmark)
  await gateway(mintmark, { id: 'deaf', answer: () => undefined })
  await becomes('inference', { instances: [{}, {}] })
  const { body } = await mintmark.admin('POST', '/token-revocations', { key: keyId })
  const enforced = async () => (await mintmark.admin('GET', `/token-revocations/${body.id}`)).body.enforced_by
  await until(
    'the first has it',
    enforced,
    found => found.find(({ gateway: name }: { gateway: string }) => name === 'inference')?.enforcing === 1,
  )
  expect(await enforced()).toEqual([
    { gateway: 'edge', instances: 0, enforcing: 0 },
    { gateway: 'inference', instances: 2, enforcing: 1 },
  ])
})

describe('a request that revokes issued tokens is answered with who enforces that', () => {
  const request = { key: undefined as unknown as { tenantId: string; keyId: string } }
  const key = () => `/keys/${request.key.keyId}`
  const tenant = () => `/tenants/${request.key.tenantId}`

  it.each<[string, 'key_epoch' | 'tenant_epoch', string, () => string, object]>([
    ['disable a key', 'key_epoch', 'POST', () => `${key()}/disable`, { revoke_tokens: true }],
    ['update a key', 'key_epoch', 'PATCH', key, { revoke_tokens: true }],
    ['revoke a key', 'key_epoch', 'POST', () => `${key()}/revoke`, {}],
    ['update a tenant', 'tenant_epoch', 'PATCH', tenant, { revoke_tokens: true }],
    ['suspend a tenant', 'tenant_epoch', 'POST', () => `${tenant()}/suspend`, {}],
  ])('%s', async (_, claim, method, path, body) => {
    request.key = await mintmark.tenantWithKey()
    await gateway(mintmark)
    await becomes('inference', { state: 'current' })
    const { status, body: changed } = await mintmark.admin(method, path(), body)
    expect(status).toBe(200)
    const { id, enforced_by } = changed.token_revocation
    expect(changed.token_revocation).toMatchObject({ claim, tenant: request.key.tenantId })
    expect(enforced_by).toMatchObject([{ gateway: 'edge' }, { gateway: 'inference', instances: 1 }])
    await until(
      'the gateway has it',
      async () => (await mintmark.admin('GET', `/token-revocations/${id}`)).body.enforced_by,
      found => found.find(({ gateway: name }: { gateway: string }) => name === 'inference').enforcing === 1,
    )
    const own = await issue(mintmark, 'tenant-admin', request.key.tenantId)
    const shown = (await own.call('GET', `/token-revocations/${id}`)).body
    expect(shown).not.toHaveProperty('enforced_by')
  })

  it('not to an administrator of a tenant, and not where no token was revoked', async () => {
    request.key = await mintmark.tenantWithKey()
    const own = await issue(mintmark, 'tenant-admin', request.key.tenantId)
    for (const body of [undefined, {}, { tokens: false }])
      expect((await mintmark.admin('POST', `${key()}/disable`, body)).body).not.toHaveProperty(
        'token_revocation',
      )
    expect((await mintmark.admin('PATCH', tenant(), { name: 'x' })).body).not.toHaveProperty(
      'token_revocation',
    )
    const { body } = await own.call('POST', `${key()}/revoke`, {})
    expect(body.token_revocation).toMatchObject({ claim: 'key_epoch', key: request.key.keyId })
    expect(body.token_revocation).not.toHaveProperty('enforced_by')
    expect((await mintmark.admin('GET', key())).body).not.toHaveProperty('token_revocation')
  })
})

it('one without a name does not pose as a registered one', async () => {
  const leave = await gateway(mintmark, { id: 'edge-1', token: EDGE })
  leave()
  await becomes('edge', { state: 'not_connected', disconnected_at: expect.any(String) })
  // Connected to this replica, and to another, which reports it.
  await gateway(mintmark, { token: UNNAMED, id: 'edge-1', cluster: 'edge' })
  await gateway(other, { token: UNNAMED, id: 'edge-2', cluster: 'edge' })
  const edges = async () => (await listed()).filter(({ name }) => name === 'edge')
  const found = await until(
    'both are listed',
    edges,
    all => all.flatMap(({ instances }) => instances).length === 2,
  )
  expect(found).toMatchObject([
    { registered: true, state: 'not_connected', disconnected_at: expect.any(String), instances: [] },
    { registered: false, disconnected_at: null, instances: [{ id: 'edge-1' }, { id: 'edge-2' }] },
  ])
  const { keyId } = await mintmark.tenantWithKey()
  const { body } = await mintmark.admin('POST', '/token-revocations', { key: keyId })
  expect(body.enforced_by).toEqual([
    { gateway: 'edge', instances: 0, enforcing: 0 },
    { gateway: 'inference', instances: 0, enforcing: 0 },
  ])
  expect(await cliOf(mintmark).run('gateway', 'list')).toMatch(/^edge \(not registered\) +edge-1/m)
  expect(await cliOf(mintmark).run('token', 'revocations')).toMatch(/edge 0\/0, inference 0\/0/)
  for (const session of sessions) session.destroy()
  await until('they are gone', edges, all => all.length === 1)
})

it('mintmark gateway list', async () => {
  await gateway(mintmark)
  await becomes('inference', { state: 'current' })
  const stdout = await cliOf(mintmark).run('gateway', 'list')
  expect(stdout).toMatch(/^GATEWAY +INSTANCE +STATE/)
  expect(stdout).toMatch(/^edge +- +not_connected/m)
  expect(stdout).toMatch(/^inference +envoy-1 +current/m)
  const json = await cliOf(mintmark).json('gateway', 'list')
  expect(json.map(({ name }: { name: string }) => name)).toEqual(['edge', 'inference'])
})
