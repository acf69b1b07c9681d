import { randomBytes } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { formatCredential, randomId } from '../../src/api-keys/api-key.ts'
import { systemRandom } from '../../src/system/random.ts'
import { Secret } from '../../src/system/secret.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { timed, until } from '../support/until.ts'
import { type Following, follow } from './following.ts'

type Key = Awaited<ReturnType<TestService['tenantWithKey']>>

let writer: TestService
let proxy: TcpProxy & { url: string }
let following: Following
let key: Key

beforeAll(async () => {
  writer = await startTestService()
  proxy = await TcpProxy.before(writer.database.applicationUrl)
})
beforeEach(async () => {
  following = follow(writer, { url: proxy.url })
  await following.follower.load()
  key = await writer.tenantWithKey()
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
/** Well-formed and unknown. */
const unknownKey = () => formatCredential('mmk', randomId(systemRandom), systemRandom)
const queries = () => following.fallback.counts.queries
const LOOKUP = 's.digest = ANY'
const unavailable = { name: 'Unavailable', retryAfterSeconds: 1 }

describe('a key that is not known', () => {
  it('because it was created a moment ago is found, and known from then on', async () => {
    await following.follower.poll()
    const { body } = await writer.admin('POST', `/tenants/${key.tenantId}/keys`, {})
    await expect(following.find(body.secret)).resolves.toMatchObject({
      keyId: body.id,
      secretId: body.secret_id,
    })
    expect(following.known(body.secret)).toMatchObject({ keyId: body.id })
    await proxy.become('cut')
    await expect(following.find(body.secret)).resolves.toMatchObject({ keyId: body.id })
  })

  it('because its tenant was created a moment ago is found too', async () => {
    await expect(following.find(key.secret)).resolves.toMatchObject({
      keyId: key.keyId,
      tenantId: key.tenantId,
    })
  })

  it.each<[string, (key: Key) => Promise<unknown>, object]>([
    ['the key was revoked', revoke, { keyRevoked: true }],
    [
      'the secret was revoked',
      ({ keyId, secretId }) => writer.admin('POST', `/keys/${keyId}/secrets/${secretId}/revoke`),
      { secretRevoked: true, keyRevoked: false },
    ],
    ['the tenant is suspended', suspend, { tenantSuspended: true }],
    [
      'the overlap is over',
      ({ keyId }) => writer.admin('POST', `/keys/${keyId}/rotate`, { overlap_seconds: 0 }),
      { secretEndsAt: expect.any(Number), secretRevoked: false },
    ],
  ])('is found with what the log needs to know: %s', async (_, end, found) => {
    await end(key)
    await expect(following.find(key.secret)).resolves.toMatchObject(found)
  })

  it('because it does not exist is not found', async () => {
    await expect(following.find(unknownKey())).resolves.toBeUndefined()
  })

  it('may be under a pepper that this process lacks: then the error is unavailable, not unknown', async () => {
    await following.close()
    following = follow(writer, {
      url: proxy.url,
      peppers: [{ id: 'other', key: new Secret(randomBytes(32)) }],
    })
    await following.follower.load()
    await expect(following.find(unknownKey())).rejects.toMatchObject(unavailable)
    await expect(following.find(key.secret)).resolves.toMatchObject({ keyId: key.keyId })
  })

  it.each(['cut', 'refuse', 'hang', 'freeze'] as const)(
    'is unavailable while the database still does this: %s',
    async fault => {
      await following.close()
      following = follow(writer, { url: proxy.url, isOutage: true })
      await until('it is loaded', () => following.follower.load().then(() => true))
      await proxy.become(fault)
      const asked = Array.from({ length: 50 }, () => {
        const secret = unknownKey()
        return expect(following.find(secret)).rejects.toMatchObject(unavailable)
      })
      await Promise.all(asked)
    },
  )
})

describe('a change during a lookup', () => {
  const changes: [string, (key: Key) => Promise<unknown>, object][] = [
    ['a revocation', revoke, { keyRevoked: true }],
    ['a suspension', suspend, { tenantSuspended: true }],
    [
      'another priority',
      () => writer.admin('PUT', '/tiers/standard', { priority: 5 }),
      { catalogue: expect.anything() },
    ],
  ]

  it.each(changes)(
    'that the directory applied causes another lookup of the key: %s',
    async (_, change, found) => {
      const asked = proxy.holdAnswerTo(LOOKUP)
      const looked = following.find(key.secret)
      await asked
      await until('the answer is held back', () => proxy.holding)
      await change(key)
      await following.follower.poll()
      proxy.release()
      await expect(looked).resolves.toMatchObject(found)
      expect(queries()).toBe(2)
    },
  )

  it.each(changes.slice(0, 2))(
    'is applied also when polls are held back with it: %s',
    async (_, change, found) => {
      const asked = proxy.holdAnswerTo(LOOKUP)
      const looked = following.find(key.secret)
      await asked
      await proxy.become('hold')
      await until('the answer is held back', () => proxy.holding)
      await change(key)
      // The answer is late.
      following.clock.forward(0.3)
      await proxy.become('none')
      await expect(looked).resolves.toMatchObject(found)
      expect(following.known(key.secret) ?? found).toMatchObject(found)
    },
  )

  it('is ignored when it is about another tenant', async () => {
    const other = await writer.tenantWithKey()
    await revoke(key)
    await following.follower.poll()
    const asked = proxy.holdAnswerTo(LOOKUP)
    const looked = following.find(key.secret)
    await asked
    await until('the answer is held back', () => proxy.holding)
    await revoke(other)
    await following.follower.poll()
    proxy.release()
    await expect(looked).resolves.toMatchObject({ keyRevoked: true })
    expect(queries()).toBe(1)
  })

  it('cannot give a later request an earlier result: a running query answers no request that came after it', async () => {
    const asked = proxy.holdAnswerTo(LOOKUP)
    const early = following.find(key.secret)
    await asked
    await until('the answer is held back', () => proxy.holding)
    await suspend(key)
    const late = following.find(key.secret)
    proxy.release()
    await early
    await expect(late).resolves.toMatchObject({ tenantSuspended: true })
  })
})

describe('however many requests', () => {
  it('one query is under way, of at most 500 digests', async () => {
    // Before the query begins: a query that waits for an answer for too long is given up.
    const keys = Array.from({ length: 1_201 }, unknownKey)
    const asked = proxy.holdAnswerTo(LOOKUP)
    const first = following.find(unknownKey())
    await asked
    const others = keys.map(key => following.find(key))
    await until('the answer is held back', () => proxy.holding)
    expect(queries()).toBe(1)
    proxy.release()
    await Promise.all([first, ...others])
    expect(queries()).toBe(1 + 3)
  })

  it('queries are 20 ms apart', async () => {
    const { ms } = await timed(async () => {
      for (let count = 0; count < 11; count++) await following.find(unknownKey())
    })
    expect(queries()).toBe(11)
    expect(ms).toBeGreaterThanOrEqual(10 * 20 - 15)
  })

  it('the same key is queried once', async () => {
    const asked = proxy.holdAnswerTo(LOOKUP)
    const first = following.find(unknownKey())
    await asked
    const many = Array.from({ length: 1_000 }, () => following.find(key.secret))
    proxy.release()
    await first
    for (const found of await Promise.all(many)) expect(found?.keyId).toBe(key.keyId)
    expect(queries()).toBe(2)
  })

  it('2,000 may wait, one more is unavailable at once, and known keys are not delayed', async () => {
    const known = await writer.tenantWithKey()
    await following.follower.poll()
    const keys = Array.from({ length: 2_000 }, unknownKey)
    const asked = proxy.holdAnswerTo(LOOKUP)
    const waiting = keys.map(key => following.find(key))
    await asked
    let settled = 0
    const settle = () => void settled++
    for (const waits of waiting) waits.then(settle, settle)
    await expect(following.find(unknownKey())).rejects.toMatchObject(unavailable)
    expect(settled, 'the others still wait').toBe(0)
    await expect(following.find(known.secret)).resolves.toMatchObject({ keyId: known.keyId })
    proxy.release()
    await Promise.all(waiting)
    await expect(following.find(unknownKey())).resolves.toBeUndefined()
  })
})

describe('an unusable key', () => {
  const again = async (secret: string) => {
    const before = queries()
    await following.find(secret)
    return queries() - before
  }

  it.each<[string, () => Promise<string>]>([
    ['it is unknown', async () => unknownKey()],
    ['it was revoked', () => revoke(key).then(() => key.secret)],
  ])('is remembered for a second: %s', async (_, prepare) => {
    const secret = await prepare()
    await following.follower.poll()
    expect([await again(secret), await again(secret), await again(secret)]).toEqual([1, 0, 0])
    following.clock.forward(1)
    expect(await again(secret)).toBe(1)
  })

  it('is forgotten on any change', async () => {
    const secret = unknownKey()
    await following.follower.poll()
    expect([await again(secret), await again(secret)]).toEqual([1, 0])
    await writer.tenantWithKey()
    await following.follower.poll()
    expect(await again(secret)).toBe(1)
  })

  it('is not remembered when it may become usable', async () => {
    await writer.admin('POST', `/keys/${key.keyId}/disable`)
    await following.find(key.secret)
    await writer.admin('POST', `/keys/${key.keyId}/enable`)
    await following.follower.poll()
    await expect(following.find(key.secret)).resolves.toMatchObject({ keyDisabled: false })
  })
})
