import { setTimeout as sleep } from 'node:timers/promises'
import bcrypt from 'bcrypt'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type JsonAnswer, startTestService, type TestService } from '../support/test-service.ts'
import { timed } from '../support/until.ts'

const SECRET = 'chosen by a person'
const COST = 10
let mintmark: TestService
let key: string
beforeAll(async () => {
  mintmark = await startTestService()
  ;({ secret: key } = await mintmark.tenantWithKey({ id: 'acme' }))
  await importAll(mintmark, 'app', 'burst', 'other')
})
afterAll(() => mintmark.stop())

async function importAll(service: TestService, ...ids: string[]): Promise<void> {
  const hash = await bcrypt.hash(SECRET, COST)
  const clients = ids.map(client_id => ({ client_id, tenant: 'acme', scheme: 'bcrypt', hash }))
  const { status, text } = await service.admin('POST', '/imported-clients', { clients })
  expect(status, text).toBe(200)
}
const exchange = (
  client_id: string,
  client_secret: string,
  service = mintmark,
  from?: string,
): Promise<JsonAnswer> =>
  service.token(
    { grant_type: 'client_credentials', client_id, client_secret },
    from === undefined ? {} : { 'x-forwarded-for': from },
  )
const median = (list: number[]) => list.sort((one, other) => one - other)[Math.floor(list.length / 2)] ?? 0

describe('a bcrypt comparison', () => {
  it('takes as long for an unknown client as for a wrong secret', async () => {
    const spans: { wrong: number[]; unknown: number[] } = { wrong: [], unknown: [] }
    for (let n = 0; n < 9; n++) {
      spans.wrong.push((await timed(() => exchange('app', `wrong ${n}`))).ms)
      spans.unknown.push((await timed(() => exchange(`nobody-${n}`, `wrong ${n}`))).ms)
    }
    const ratio = median(spans.unknown) / median(spans.wrong)
    // Without the dummy comparison it is well under a half.
    expect(ratio, JSON.stringify(spans)).toBeGreaterThan(0.6)
    expect(ratio, JSON.stringify(spans)).toBeLessThan(1.7)
  })

  it('runs once for a correct secret, however many concurrent requests', async () => {
    const begin = performance.now()
    const answers = await Promise.all(Array.from({ length: 40 }, () => exchange('burst', SECRET)))
    expect(answers.map(({ status }) => status)).toEqual(Array(40).fill(200))
    const hashing = (await timed(() => bcrypt.compare(SECRET, bcrypt.hashSync('x', COST)))).ms
    // Forty comparisons would take twenty times as long, two at once.
    expect(performance.now() - begin).toBeLessThan(hashing * 15 + 500)
    expect(
      median(await Promise.all([1, 2, 3].map(async () => (await timed(() => exchange('burst', SECRET))).ms))),
    ).toBeLessThan(hashing)
  })
})

describe('a flood of wrong secrets', () => {
  it('is rejected beyond its queue, while known keys and remembered clients are exchanged as usual', async () => {
    await exchange('app', SECRET)
    let over = false
    const statuses = new Map<number, number>()
    let retryAfter: string | null = null
    const flood = async (lane: number) => {
      for (let n = 0; !over; n++) {
        const answer = await exchange(lane % 2 ? 'app' : `nobody-${lane}-${n}`, `wrong ${lane} ${n}`)
        statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
        if (answer.status === 503) retryAfter = answer.headers.get('retry-after')
        // Hundreds per second are far more than can be compared; more would test HTTP, not the queue.
        await sleep(150)
      }
    }
    const flooding = Array.from({ length: 70 }, (_, lane) => flood(lane))
    const spans: number[] = []
    const end = performance.now() + 4_000
    while (performance.now() < end) {
      const known = await timed(() =>
        mintmark.token({ grant_type: 'client_credentials', client_secret: key }),
      )
      const remembered = await timed(() => exchange('app', SECRET))
      expect([known.result.status, remembered.result.status]).toEqual([200, 200])
      spans.push(known.ms, remembered.ms)
    }
    over = true
    await Promise.all(flooding)
    expect([...statuses.keys()].sort()).toEqual([401, 503])
    expect(retryAfter).toBe('1')
    // The flood and the test share the processors; in its queue each would wait about three seconds.
    expect(median(spans), `${spans.length} exchanges`).toBeLessThan(1500)
  }, 30_000)

  it('ends at the failure limit, and remembered clients keep working', async () => {
    const env = { ...mintmark.environment, MINTMARK_FAILURES_PER_MINUTE: '5' }
    const limited = await startTestService({ database: mintmark.database, env })
    const statuses: number[] = []
    expect((await exchange('app', SECRET, limited)).status).toBe(200)
    for (let n = 0; n < 7; n++) statuses.push((await exchange('app', `wrong ${n}`, limited)).status)
    expect(statuses).toEqual([401, 401, 401, 401, 401, 429, 429])
    const { ms, result } = await timed(() => exchange('other', SECRET, limited))
    // Not compared.
    expect(result.status).toBe(429)
    expect(ms).toBeLessThan(1000)
    expect((await exchange('app', SECRET, limited)).status).toBe(200)
    expect((await limited.token({ grant_type: 'client_credentials', client_secret: key })).status).toBe(200)
    await limited.service.stop()
  })
})

/** Honest clients' address, and one of the many of the flood's network. */
const HONEST = '198.51.100.7'
const attacker = (n: number) => `203.0.113.${n % 250}`

describe('a flood from many addresses of one network', () => {
  const BEHIND_PROXY = { MINTMARK_TRUSTED_PROXIES: '127.0.0.0/8' }
  let behindProxy: TestService
  beforeAll(async () => {
    behindProxy = await startTestService({ env: BEHIND_PROXY })
    await behindProxy.admin('POST', '/tenants', { id: 'acme' })
    await importAll(behindProxy, 'target', ...Array.from({ length: 12 }, (_, n) => `honest-${n}`))
  })
  afterAll(() => behindProxy.stop())

  /** More than can be compared, until it is stopped: random ids, and wrong secrets of one that exists. */
  function flood(service: TestService) {
    const statuses = new Map<number, number>()
    let over = false
    const lane = async (number: number) => {
      for (let n = 0; !over; n++) {
        const id = number % 3 === 0 ? 'target' : `nobody-${number}-${n}`
        const { status } = await exchange(id, `wrong ${number} ${n}`, service, attacker(number * 7 + n))
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
        await sleep(100)
      }
    }
    const lanes = Array.from({ length: 60 }, (_, number) => lane(number))
    return async () => {
      over = true
      await Promise.all(lanes)
      return [...statuses.keys()].sort()
    }
  }

  it('refuses no honest client: neither its first exchange nor, after a restart, any', async () => {
    const stop = flood(behindProxy)
    await sleep(500)
    const first: number[] = []
    for (let n = 0; n < 12; n++)
      first.push((await exchange(`honest-${n}`, SECRET, behindProxy, HONEST)).status)
    expect(await stop()).toEqual([401, 503])
    expect(first).toEqual(Array(12).fill(200))
    // Written after a few seconds; stopping writes the rest.
    const { environment, database } = behindProxy
    await behindProxy.service.stop()
    behindProxy = await startTestService({ database, env: environment })
    const stopAgain = flood(behindProxy)
    const again = await Promise.all(
      Array.from({ length: 12 }, (_, n) => timed(() => exchange(`honest-${n}`, SECRET, behindProxy, HONEST))),
    )
    expect(again.map(({ result }) => result.status)).toEqual(Array(12).fill(200))
    // Twelve comparisons would take most of a second.
    const hashing = (await timed(() => bcrypt.compare(SECRET, bcrypt.hashSync('x', COST)))).ms
    await stopAgain()
    expect(Math.max(...again.map(({ ms }) => ms)), `hashing takes ${hashing}`).toBeLessThan(hashing * 8 + 300)
  }, 60_000)

  it('does not make it visible from elsewhere which clients exist', async () => {
    await importAll(behindProxy, ...Array.from({ length: 9 }, (_, n) => `unproven-${n}`))
    const stop = flood(behindProxy)
    await sleep(500)
    const spans: { unproven: number[]; unknown: number[] } = { unproven: [], unknown: [] }
    for (let n = 0; n < 9; n++) {
      const [unproven, unknown] = [`unproven-${n}`, `nobody-else-${n}`].map(
        id => () => timed(() => exchange(id, 'wrong', behindProxy, HONEST)),
      )
      const [one, other] =
        n % 2 ? [await unproven?.(), await unknown?.()] : [await unknown?.(), await unproven?.()]
      const [first, second] = n % 2 ? [one, other] : [other, one]
      expect([first?.result.status, second?.result.status]).toEqual([401, 401])
      spans.unproven.push(first?.ms ?? 0)
      spans.unknown.push(second?.ms ?? 0)
    }
    await stop()
    const ratio = median(spans.unproven) / median(spans.unknown)
    // Without its turn in the line a wrong secret would be answered in half the time.
    expect(ratio, JSON.stringify(spans)).toBeGreaterThan(0.6)
    expect(ratio, JSON.stringify(spans)).toBeLessThan(1.7)
  }, 60_000)
})

describe('an attempt that is refused because too many wait', () => {
  it('counts as a failure of its address', async () => {
    const perMinute = 56
    const env = {
      ...mintmark.environment,
      MINTMARK_FAILURES_PER_MINUTE: `${perMinute}`,
      MINTMARK_TRUSTED_PROXIES: '127.0.0.0/8',
    }
    const limited = await startTestService({ database: mintmark.database, env })
    const answers = await Promise.all(
      Array.from({ length: perMinute }, (_, n) => exchange(`nobody-${n}`, 'wrong', limited, HONEST)),
    )
    expect([...new Set(answers.map(({ status }) => status))].sort()).toEqual([401, 503])
    expect((await exchange('nobody', 'wrong', limited, HONEST)).status).toBe(429)
    expect((await exchange('nobody', 'wrong', limited, attacker(1))).status).toBe(401)
    await limited.service.stop()
  }, 30_000)
})

describe('an installation without imported clients', () => {
  it('rejects a malformed key at once', async () => {
    const plain = await startTestService()
    const spans = []
    for (let n = 0; n < 5; n++) spans.push((await timed(() => exchange('app', 'x', plain))).ms)
    expect(Math.min(...spans)).toBeLessThan(40)
    await plain.stop()
  })
})
