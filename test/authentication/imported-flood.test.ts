import { setTimeout as sleep } from 'node:timers/promises'
import bcrypt from 'bcrypt'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type JsonAnswer, startTestService, type TestService } from '../support/test-service.ts'
import { timed } from '../support/until.ts'

const SECRET = 'chosen by a person'
const COST = 10
let mintmark: TestService
let key: string
beforeAll(async () => {
  mintmark = await startTestService()
  ;({ secret: key } = await mintmark.tenantWithKey({ id: 'acme' }))
  await importAll(mintmark, ['app', 'burst', 'other'])
})
afterAll(() => mintmark.stop())

async function importAll(service: TestService, ids: readonly string[], cost = COST): Promise<void> {
  const hash = await bcrypt.hash(SECRET, cost)
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

  it('of a refusal costs the same for a client with a cheaper hash, one with the dearest, and an unknown one', async () => {
    await importAll(mintmark, ['cheap'], COST - 4)
    for (const id of ['cheap', 'app']) expect((await exchange(id, SECRET)).status).toBe(200)
    const work: Record<string, number> = {}
    for (const id of ['cheap', 'app', 'nobody-at-all']) {
      const spy = vi.spyOn(bcrypt, 'compare')
      expect((await exchange(id, 'wrong')).status).toBe(401)
      // Each cost is twice the work of the one before.
      work[id] = spy.mock.calls.reduce((sum, [, hash]) => sum + 2 ** Number(hash.slice(4, 6)), 0)
      spy.mockRestore()
    }
    expect(work).toEqual({ cheap: 2 ** COST, app: 2 ** COST, 'nobody-at-all': 2 ** COST })
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

/** The cost of the clients in a flood: few comparisons a second are too many. */
const HIGH_COST = 11
const HONEST = '198.51.100.7'

describe('a flood that is more than can be compared', () => {
  let behindProxy: TestService
  beforeAll(async () => {
    behindProxy = await startTestService({ env: { MINTMARK_TRUSTED_PROXIES: '127.0.0.0/8' } })
    await behindProxy.admin('POST', '/tenants', { id: 'acme' })
  })
  afterAll(() => behindProxy.stop())

  /** During `work`: wrong secrets of an existing client, and random ids. Returns the result and the statuses of the flood. */
  async function flooded<T>(target: string, addressOf: (n: number) => string, work: () => Promise<T>) {
    const statuses = new Set<number>()
    let over = false
    const lane = async (lane: number) => {
      for (let n = 0; !over; n++) {
        const id = lane % 3 === 0 ? target : `nobody-${lane}-${n}`
        statuses.add((await exchange(id, `wrong ${lane} ${n}`, behindProxy, addressOf(lane * 7 + n))).status)
        await sleep(200)
      }
    }
    const lanes = Array.from({ length: 40 }, (_, number) => lane(number))
    try {
      await sleep(500)
      return { result: await work(), statuses }
    } finally {
      over = true
      await Promise.all(lanes)
    }
  }
  const ofOneNetwork = (n: number) => `203.0.113.${n % 250}`
  const ofManyNetworks = (n: number) => `203.0.${n % 250}.1`

  it.each([
    ['from many addresses of one network, with a client that was never proven', 'never', ofOneNetwork],
    ['from many networks, with a client that was proven', 'proven', ofManyNetworks],
  ])(
    'refuses no honest client %s: neither its first exchange nor, after a restart, any',
    async (_, target, addressOf) => {
      const clients = Array.from({ length: 6 }, (_, n) => `honest-${target}-${n}`)
      await importAll(behindProxy, [target, ...clients], HIGH_COST)
      if (target === 'proven') expect((await exchange(target, SECRET, behindProxy)).status).toBe(200)
      const honest = (id: string) => exchange(id, SECRET, behindProxy, HONEST)
      const first = await flooded(target, addressOf, async () => {
        const statuses: number[] = []
        for (const id of clients) statuses.push((await honest(id)).status)
        return statuses
      })
      expect(first.result).toEqual(clients.map(() => 200))
      expect([...first.statuses].sort()).toEqual([401, 503])
      await behindProxy.service.stop()
      behindProxy = await startTestService({ database: behindProxy.database, env: behindProxy.environment })
      const spy = vi.spyOn(bcrypt, 'compare')
      const again = await flooded(target, addressOf, () => timed(() => Promise.all(clients.map(honest))))
      const secrets = spy.mock.calls.map(([secret]) => secret)
      spy.mockRestore()
      expect(again.result.result.map(({ status }) => status)).toEqual(clients.map(() => 200))
      expect(secrets).not.toContain(SECRET)
      expect(again.result.ms).toBeLessThan(1_500)
    },
  )

  it('does not make it visible from elsewhere which clients exist', async () => {
    const rounds = 7
    await importAll(
      behindProxy,
      Array.from({ length: rounds }, (_, n) => `unproven-${n}`),
      HIGH_COST,
    )
    const tookFor = async (id: string) => {
      const { ms, result } = await timed(() => exchange(id, 'wrong', behindProxy, HONEST))
      expect(result.status).toBe(401)
      return ms
    }
    const ratios: number[] = []
    await flooded('target', ofOneNetwork, async () => {
      for (let n = 0; n < rounds; n++) {
        // One right after the other, so that whatever else the machine does falls on both.
        const before = n % 2 ? 0 : await tookFor(`nobody-else-${n}`)
        const unproven = await tookFor(`unproven-${n}`)
        ratios.push(unproven / (before || (await tookFor(`nobody-else-${n}`))))
      }
    })
    // Without its turn in the line a wrong secret would be answered in half the time.
    expect(median(ratios), JSON.stringify(ratios)).toBeGreaterThan(0.6)
    expect(median(ratios), JSON.stringify(ratios)).toBeLessThan(2)
  })
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
    expect((await exchange('nobody', 'wrong', limited, '203.0.113.1')).status).toBe(401)
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
