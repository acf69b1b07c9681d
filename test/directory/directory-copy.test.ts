import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { type Following, follow } from './following.ts'

type Key = Awaited<ReturnType<TestService['tenantWithKey']>>

let writer: TestService
let proxy: TcpProxy & { url: string }
let following: Following
let key: Key

beforeAll(async () => {
  writer = await startTestService()
  await writer.admin('PUT', '/models/llama', {})
  proxy = await TcpProxy.before(writer.database.applicationUrl)
})
beforeEach(async () => {
  key = await writer.tenantWithKey()
  following = follow(writer, { url: proxy.url })
})
afterEach(async () => {
  await proxy.become('none')
  await following.close()
})
afterAll(async () => {
  await proxy.close()
  await writer.stop()
})

const revoke = ({ keyId }: Key) => writer.admin('POST', `/keys/${keyId}/revoke`)
const suspend = ({ tenantId }: Key) => writer.admin('POST', `/tenants/${tenantId}/suspend`)
const knows = ({ secret }: Key) => following.known(secret) !== undefined
const sql = (statement: string, values?: unknown[]) => writer.database.asOwner(statement, values)

describe('known after the load', () => {
  it.each<[string, boolean, (key: Key) => Promise<unknown>]>([
    ['a key', true, async () => {}],
    ['a key of a suspended tenant', true, suspend],
    ['a disabled key', true, ({ keyId }) => writer.admin('POST', `/keys/${keyId}/disable`)],
    ['a secret in its overlap', true, ({ keyId }) => writer.admin('POST', `/keys/${keyId}/rotate`, {})],
    ['a revoked key', false, revoke],
    ['a revoked secret', false, k => writer.admin('POST', `/keys/${k.keyId}/secrets/${k.secretId}/revoke`)],
    [
      'a secret that ended',
      false,
      k => writer.admin('POST', `/keys/${k.keyId}/rotate`, { overlap_seconds: 0 }),
    ],
    ['an expired key', false, k => sql('UPDATE api_keys SET expires_at = now() WHERE id = $1', [k.keyId])],
    ['a key of a deleted tenant', false, k => writer.admin('DELETE', `/tenants/${k.tenantId}?cascade=true`)],
  ])('%s: %s', async (_, known, prepare) => {
    await prepare(key)
    await following.follower.load()
    expect(knows(key)).toBe(known)
  })
})

it('keys with the same rights share them in memory', async () => {
  const other = await writer.tenantWithKey()
  await following.follower.load()
  const [one, two] = [key, other].map(({ secret }) => following.known(secret)?.keyRights)
  expect(one).toEqual(
    expect.objectContaining({ scopes: ['inference'], tier: null, models: null, audiences: null }),
  )
  expect(two).toBe(one)
})

describe('a change', () => {
  const snapshot = () => following.known(key.secret)
  const patchTenant = (body: object) => () => writer.admin('PATCH', `/tenants/${key.tenantId}`, body)

  it.each<[string, () => Promise<unknown>, (found: ReturnType<typeof snapshot>) => unknown, unknown]>([
    ['the revocation of a key', () => revoke(key), found => found, undefined],
    [
      'the revocation of a secret',
      () => writer.admin('POST', `/keys/${key.keyId}/secrets/${key.secretId}/revoke`),
      found => found,
      undefined,
    ],
    [
      'the deletion of a tenant',
      () => writer.admin('DELETE', `/tenants/${key.tenantId}?cascade=true`),
      found => found,
      undefined,
    ],
    ['a suspension', () => suspend(key), found => found?.tenantSuspended, true],
    [
      'a disabled key',
      () => writer.admin('POST', `/keys/${key.keyId}/disable`),
      found => found?.keyDisabled,
      true,
    ],
    ['a restricted tenant', patchTenant({ models: [] }), found => found?.tenantRights.models, []],
    [
      'a restricted key',
      () => writer.admin('PATCH', `/keys/${key.keyId}`, { models: ['llama'] }),
      found => found?.keyRights.models,
      ['llama'],
    ],
    [
      'the priority of a tier',
      () => writer.admin('PUT', '/tiers/standard', { priority: 7 }),
      found => found?.catalogue.priorities.get('standard'),
      7,
    ],
    [
      'a new model',
      () => writer.admin('PUT', '/models/mistral', {}),
      found => found?.catalogue.models,
      ['llama', 'mistral'],
    ],
  ])('is applied by a poll, and not before: %s', async (_, change, look, after) => {
    await following.follower.load()
    const before = look(snapshot())
    await change()
    expect(look(snapshot())).toEqual(before)
    expect(before).not.toEqual(after)
    await following.follower.poll()
    expect(look(snapshot())).toEqual(after)
  })

  it('is applied however many others came before it', async () => {
    await following.follower.load()
    await sql(
      "INSERT INTO change_feed (number, changes) SELECT n + (SELECT max(number) FROM change_feed), '[]' FROM generate_series(1, 6000) AS n",
    )
    await sql('UPDATE change_counter SET number = (SELECT max(number) FROM change_feed)')
    await revoke(key)
    following.clock.freeze()
    await following.follower.poll()
    expect(knows(key)).toBe(false)
    expect(following.follower.reloads).toBe(0)
    expect(following.follower.stalenessSeconds).toBe(0)
  })

  it('names a new key, which is then known', async () => {
    await following.follower.load()
    const made = await writer.tenantWithKey()
    expect(knows(made)).toBe(false)
    await following.follower.poll()
    expect(knows(made)).toBe(true)
  })
})

describe('loads and changes do not cross', () => {
  /** A load that has read its keys, in two halves, with the responses held back. */
  const heldLoad = async () => {
    const asked = proxy.holdAnswerTo('k.seq >', 2)
    const done = following.follower.load()
    await asked
    await until('both answers are held back', () => proxy.holding === 2)
    return { done }
  }

  it.each<[string, (key: Key) => Promise<unknown>, (key: Key) => unknown, unknown]>([
    ['a revocation', revoke, knows, false],
    ['a suspension', suspend, ({ secret }) => following.known(secret)?.tenantSuspended, true],
  ])('%s commits while the answer of the load is held back', async (_, change, look, after) => {
    const load = await heldLoad()
    await change(key)
    proxy.release()
    await load.done
    expect(look(key)).toBe(after)
  })

  it('a key that is created while the response of the load is held back is known after it', async () => {
    const load = await heldLoad()
    const made = await writer.tenantWithKey()
    proxy.release()
    await load.done
    expect(knows(made)).toBe(true)
  })

  it('a poll after a commit waits for a poll that began after it', async () => {
    await following.follower.load()
    const asked = proxy.holdAnswerTo('change_feed')
    const early = following.follower.poll()
    await asked
    await until('the answer is held back', () => proxy.holding)
    await revoke(key)
    const late = following.follower.poll()
    proxy.release()
    await early
    expect(knows(key)).toBe(true)
    await late
    expect(knows(key)).toBe(false)
  })
})

describe('a lost position', () => {
  const loses: [string, () => Promise<unknown>][] = [
    [
      'its row is gone',
      () => sql('DELETE FROM change_feed WHERE number < (SELECT max(number) FROM change_feed)'),
    ],
    ['its row has another id', () => sql('UPDATE change_feed SET id = gen_random_uuid()')],
    [
      'the database was restored to an earlier time',
      async () => {
        // Its position is one of the rows that go.
        await following.follower.poll()
        await sql(
          `WITH last AS (SELECT max(number) - 3 AS number FROM change_feed),
            later AS (DELETE FROM change_feed USING last WHERE change_feed.number > last.number)
            UPDATE change_counter SET number = last.number FROM last`,
        )
      },
    ],
  ]

  it.each(loses)('triggers a reload, and missing objects are not used: %s', async (_, lose) => {
    const lost = await writer.tenantWithKey()
    const back = await writer.tenantWithKey()
    await revoke(back)
    const resumed = await writer.tenantWithKey()
    await suspend(resumed)
    await following.follower.load()
    // Changes without a feed row: a deleted key, and an undone revocation and suspension.
    await sql('DELETE FROM api_keys WHERE id = $1', [lost.keyId])
    await sql('UPDATE api_keys SET revoked_at = NULL WHERE id = $1', [back.keyId])
    await sql('UPDATE tenants SET suspended_at = NULL WHERE id = $1', [resumed.tenantId])
    await writer.tenantWithKey()
    await lose()
    await until('it is loaded again', async () => {
      expect(knows(key), 'known keys stay known').toBe(true)
      await following.follower.poll()
      return following.follower.reloads === 1 && !knows(lost)
    })
    expect([knows(key), knows(back)]).toEqual([true, true])
    const lines = () => following.logs.map(line => JSON.parse(line))
    const told = await until('it is told', () => lines().find(({ msg }) => msg === 'directory reloaded'))
    expect(told).toMatchObject({
      level: 'warn',
      gone: [lost.keyId],
      come: expect.arrayContaining([back.keyId]),
      changed: [resumed.keyId],
    })
  })

  it('does not delay new changes, and staleness counts until everything was read', async () => {
    await following.follower.load()
    await sql('UPDATE change_feed SET id = gen_random_uuid()')
    const page = proxy.holdAnswerTo('k.seq >')
    await following.follower.poll()
    following.clock.forward(100)
    await page
    await revoke(key)
    await following.follower.poll()
    expect(knows(key)).toBe(false)
    expect(following.follower.stalenessSeconds).toBeGreaterThan(100)
    proxy.release()
    await until('it is loaded again', async () => {
      await following.follower.poll()
      return following.follower.stalenessSeconds < 1
    })
    expect(knows(key)).toBe(false)
  })

  const priority = () => following.known(key.secret)?.catalogue.priorities.get('standard')
  const deleteTenant = () => writer.admin('DELETE', `/tenants/${key.tenantId}?cascade=true`)

  it.each<[string, string, () => Promise<unknown>, () => unknown, unknown]>([
    ['a revocation', 'k.seq >', () => revoke(key), () => knows(key), false],
    ['a suspension', 't.id >', () => suspend(key), () => following.known(key.secret)?.tenantSuspended, true],
    ['a deleted tenant, whose keys are in a page', 'k.seq >', deleteTenant, () => knows(key), false],
    [
      'another priority',
      'json_object_agg',
      () => writer.admin('PUT', '/tiers/standard', { priority: 9 }),
      priority,
      9,
    ],
  ])('loads nothing that is older than a change which was followed meanwhile: %s', async (...given) => {
    const [, answer, change, look, after] = given
    await following.follower.load()
    const before = look()
    await sql('UPDATE change_feed SET id = gen_random_uuid()')
    const asked = proxy.holdAnswerTo(answer)
    await following.follower.poll()
    await asked
    await until('the answer is held back', () => proxy.holding)
    await change()
    await following.follower.poll()
    expect(look()).toEqual(after)
    proxy.release()
    await until('it is loaded again', async () => {
      await following.follower.poll()
      return following.follower.stalenessSeconds < 1 && following.follower.reloads === 1
    })
    expect(look()).toEqual(after)
    expect(before).not.toEqual(after)
    // Nothing remains of a deleted tenant.
    const usable = await sql('SELECT FROM api_keys WHERE revoked_at IS NULL')
    expect(following.copy.size).toBeLessThanOrEqual(usable.length)
  })

  it('is retried when reloading fails', async () => {
    await following.follower.load()
    await sql('UPDATE change_feed SET id = gen_random_uuid()')
    const page = proxy.holdAnswerTo('k.seq >')
    await following.follower.poll()
    await page
    await proxy.become('cut')
    await expect(following.follower.poll()).rejects.toMatchObject({ name: 'Unavailable' })
    expect(knows(key)).toBe(true)
    await proxy.become('none')
    await until('it is loaded again', async () => {
      await following.follower.poll()
      return following.follower.reloads
    })
  })
})

describe('what this process committed', () => {
  it.each<[string, () => { kind: 'key' | 'tenant'; id: string }]>([
    ['a key', () => ({ kind: 'key', id: key.keyId })],
    ['a tenant', () => ({ kind: 'tenant', id: key.tenantId })],
  ])(
    'is forgotten if it cannot be read, while the database is still silent, until a poll brings it back: %s',
    async (_, named) => {
      await following.close()
      following = follow(writer, { url: proxy.url, isOutage: true })
      await until('it is loaded', () => following.follower.load().then(() => true))
      const other = await writer.tenantWithKey()
      await following.follower.poll()
      await writer.admin('PATCH', `/keys/${key.keyId}`, { name: 'changed' })
      await writer.admin('PATCH', `/tenants/${key.tenantId}`, { name: 'changed' })
      await proxy.become('hang')
      await following.follower.settle([named()])
      expect([knows(key), knows(other)]).toEqual([false, true])
      await proxy.become('none')
      await until('it can poll again', () => following.follower.poll().then(() => true))
      expect(knows(key)).toBe(true)
    },
  )
})

describe('staleness, to the second', () => {
  const stale = async (seconds: number | null, policy?: number) => {
    await writer.admin('PATCH', `/tenants/${key.tenantId}`, { staleness_seconds: seconds })
    await following.close()
    following = follow(writer, { url: proxy.url, ...(policy !== undefined && { stalenessSeconds: policy }) })
    following.clock.freeze()
    await following.follower.load()
  }

  it.each<[string, number | null, number | undefined, number]>([
    ['15 minutes unless set otherwise', null, undefined, 900],
    ["the policy's", null, 60, 60],
    ["the tenant's, when that is less", 5, undefined, 5],
    ["not the tenant's, when that is more", 3600, 60, 60],
  ])('a known key is accepted for %s', async (_, tenant, policy, limit) => {
    await stale(tenant, policy)
    following.clock.forward(limit - 1)
    expect(knows(key)).toBe(true)
    await proxy.become('refuse')
    await expect(following.find(key.secret)).resolves.toMatchObject({ keyId: key.keyId })
    following.clock.forward(1)
    expect(knows(key)).toBe(false)
    await expect(following.find(key.secret)).rejects.toMatchObject({
      name: 'Unavailable',
      retryAfterSeconds: 1,
    })
    await expect(following.follower.poll()).rejects.toMatchObject({ name: 'Unavailable' })
    expect(knows(key), 'a poll that failed shows nothing').toBe(false)
    await proxy.become('none')
    await until('it can poll again', () => following.follower.poll().then(() => true))
    expect(knows(key)).toBe(true)
  })

  it.each<[string, number | null, number | undefined]>([
    ['a tenant that asks for it', 0, undefined],
    ['a policy that says so', null, 0],
  ])('zero: each exchange queries Postgres, for %s', async (_, tenant, policy) => {
    await stale(tenant, policy)
    expect(knows(key)).toBe(false)
    await expect(following.find(key.secret)).resolves.toMatchObject({ tenantSuspended: false })
    await suspend(key)
    await expect(following.find(key.secret)).resolves.toMatchObject({ tenantSuspended: true })
    await proxy.become('cut')
    await expect(following.find(key.secret)).rejects.toMatchObject({ name: 'Unavailable' })
  })
})

describe('with more keys than its limit', () => {
  it('it has those used or created last, warns once, and looks the others up', async () => {
    await sql('UPDATE api_keys SET revoked_at = now()')
    const keys = [
      await writer.tenantWithKey(),
      await writer.tenantWithKey(),
      await writer.tenantWithKey(),
    ] as const
    await sql("UPDATE api_key_secrets SET created_at = now() - interval '1 hour'")
    const used = "UPDATE api_key_secrets SET last_used_at = now() - interval '1 minute' WHERE key_id = $1"
    await sql(used, [keys[0].keyId])
    await sql(used, [keys[2].keyId])
    await following.close()
    following = follow(writer, { url: proxy.url, maxKeys: 2 })
    await following.follower.load()
    expect(keys.map(knows)).toEqual([true, false, true])
    for (let round = 0; round < 3; round++) {
      await expect(following.find(keys[1].secret)).resolves.toMatchObject({
        keyId: keys[1].keyId,
        keyRevoked: false,
      })
    }
    expect(following.fallback.counts).toMatchObject({ queries: 3, found: 3 })
    expect(following.copy.size).toBe(2)
    expect(following.logs.filter(line => line.includes('MINTMARK_DIRECTORY_MAX_KEYS'))).toHaveLength(1)
    await revoke(keys[0])
    await following.follower.poll()
    await following.find(keys[1].secret)
    expect(keys.map(knows), 'the room that was left').toEqual([false, true, true])
  })
})
