import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Change } from '../../src/database/change.ts'
import { appendChanges } from '../../src/database/change-feed.ts'
import { ChangeFollower } from '../../src/database/change-follower.ts'
import { type ChangeSubscriber, reaction } from '../../src/database/change-subscriber.ts'
import { Database } from '../../src/database/database.ts'
import { Unavailable } from '../../src/errors.ts'
import { createLogger } from '../../src/system/logger.ts'
import { systemRandom } from '../../src/system/random.ts'
import { type AdjustableClock, adjustableClock } from '../support/adjustable-clock.ts'
import { PATIENT } from '../support/patient.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { until } from '../support/until.ts'

/** The follower with subscribers of the test. With the directory: test/directory/directory-copy.test.ts. */
let testDatabase: TestDatabase
let writer: Database
let proxy: TcpProxy & { url: string }
let database: Database
let clock: AdjustableClock
let follower: ChangeFollower

beforeAll(async () => {
  testDatabase = await createTestDatabase()
  proxy = await TcpProxy.before(testDatabase.applicationUrl)
  writer = open(testDatabase.applicationUrl)
})
beforeEach(() => {
  database = open(proxy.url)
  clock = adjustableClock()
  follower = new ChangeFollower({ database, clock, random: systemRandom, logger: createLogger('silent') })
})
afterEach(async () => {
  follower.stop()
  await proxy.become('none')
  await database.close()
})
afterAll(async () => {
  await writer.close()
  await proxy.close()
  await testDatabase.drop()
})

const open = (url: string) =>
  new Database({ url, maxConnections: 3, logger: createLogger('silent'), timeouts: PATIENT })
const change = (...changes: Change[]) => writer.write(trx => appendChanges(trx, changes))
const setTier = (priority: number) => testDatabase.asOwner('UPDATE tiers SET priority = $1', [priority])
const loseFeed = () => testDatabase.asOwner('UPDATE change_feed SET id = gen_random_uuid()')
const tier: Change = { kind: 'tier', id: 'standard' }
const key: Change = { kind: 'key', id: 'key_1' }
const tenant: Change = { kind: 'tenant', id: 'acme' }

/** A subscriber that records what it applies, under its name. */
function noting(name: string, log: unknown[], of: Partial<ChangeSubscriber> = {}): ChangeSubscriber {
  const noted = reaction(update => void log.push([name, update]))
  return { ...noted, ...of }
}

describe('a poll', () => {
  it('applies a change in the order of subscription, after all have read, to subscribers of its kind', async () => {
    const log: unknown[] = []
    const reads = (name: string): Partial<ChangeSubscriber> => ({
      read: async () => {
        log.push(`${name} read`)
        return () => void log.push(`${name} applied`)
      },
    })
    follower.subscribe([
      noting('first', log, reads('first')),
      noting('keys', log, { ...reads('keys'), kinds: ['key'] }),
      noting('policy', log, { ...reads('policy'), kinds: ['installation'] }),
      noting('last', log, reads('last')),
    ])
    await follower.load()
    log.length = 0
    await change(key)
    await follower.poll()
    expect(log).toEqual([
      ...['first read', 'keys read', 'last read'],
      ...['first applied', 'keys applied', 'last applied'],
    ])
  })

  it('names each object once, and to each subscriber only the kinds that it reads', async () => {
    const log: unknown[] = []
    const keys = reaction(update => void log.push(['keys', update]), ['key'])
    follower.subscribe([keys, noting('all', log)])
    await follower.load()
    log.length = 0
    await change(key, tenant)
    await change(key)
    await follower.poll()
    expect(log).toEqual([
      ['keys', [key]],
      ['all', [key, tenant]],
    ])
  })

  it('lets all subscribers read one snapshot, whatever is committed between their reads', async () => {
    await setTier(1)
    const seen: number[] = []
    const reading: ChangeSubscriber = noting('tier', [], {
      read: async trx => {
        const { priority } = await trx.selectFrom('tiers').select('priority').executeTakeFirstOrThrow()
        return () => void seen.push(priority)
      },
    })
    const writing = noting('writer', [], {
      read: async () => {
        if (seen.length === 0) {
          await setTier(2)
          await change(tier)
        }
        return () => {}
      },
    })
    follower.subscribe([reading, writing, reading])
    await follower.load()
    await change(tier)
    await follower.poll()
    expect(seen).toEqual([1, 1])
    await follower.poll()
    expect(seen, 'and the next poll brings what came after it').toEqual([1, 1, 2, 2])
  })

  it('that cannot read for one subscriber applies nothing, and the next one applies everything', async () => {
    const log: unknown[] = []
    let away = true
    const failing = noting('failing', log, {
      read: async () => {
        if (away) throw new Unavailable('away')
        return () => void log.push('read again')
      },
    })
    follower.subscribe([noting('first', log), failing])
    await follower.load()
    log.length = 0
    clock.forward(100)
    await change(key)
    await expect(follower.poll()).rejects.toThrow('away')
    expect(log).toEqual([])
    expect(follower.behind).toBe(1)
    expect(follower.stalenessSeconds).toBeGreaterThan(99)
    away = false
    clock.freeze()
    await follower.poll()
    expect(log).toEqual([['first', [key]], 'read again'])
    expect(follower.behind).toBe(0)
    expect(follower.stalenessSeconds).toBe(0)
  })

  it('without changes is one statement', async () => {
    follower.subscribe([])
    await follower.load()
    let statements = 0
    const counted: Database['run'] = database.run.bind(database)
    database.run = async work => {
      statements++
      return counted(work)
    }
    await follower.poll()
    expect(statements).toBe(1)
  })
})

describe('a full load', () => {
  it('is applied by all subscribers at once, in their order, and not before all have loaded', async () => {
    const log: string[] = []
    const loads = (name: string) =>
      noting(name, [], {
        load: async () => {
          log.push(`${name} loaded`)
          return () => void log.push(`${name} applied`)
        },
      })
    follower.subscribe([loads('first'), loads('second')])
    expect(follower.position).toBeUndefined()
    expect(follower.stalenessSeconds).toBe(Number.POSITIVE_INFINITY)
    clock.freeze()
    await follower.load()
    expect(log).toEqual(['first loaded', 'second loaded', 'first applied', 'second applied'])
    expect(follower.stalenessSeconds).toBe(0)
  })

  it('that fails at startup can be retried', async () => {
    let fails = true
    const log: unknown[] = []
    const failing = noting('failing', log, {
      load: async () => {
        if (fails) throw new Unavailable('away')
        return () => void log.push('loaded')
      },
    })
    follower.subscribe([failing])
    await expect(follower.load()).rejects.toThrow('away')
    fails = false
    await follower.load()
    expect(log).toEqual(['loaded'])
  })

  it('is applied after the changes that were committed while it ran', async () => {
    const log: unknown[] = []
    const slow = noting('all', log, {
      load: async () => {
        await change(key)
        return () => void log.push('loaded')
      },
    })
    follower.subscribe([slow])
    await follower.load()
    expect(log).toEqual([['all', [key]], 'loaded'])
  })

  it('at startup fails when the feed is replaced while it runs, and succeeds the next time', async () => {
    let replaced = false
    const log: unknown[] = []
    const losing = noting('losing', log, {
      load: async () => {
        if (!replaced) await loseFeed()
        replaced = true
        return () => void log.push('loaded')
      },
    })
    follower.subscribe([losing])
    await expect(follower.load()).rejects.toMatchObject({ name: 'Unavailable' })
    expect(log).toEqual([])
    await follower.load()
    expect(log).toEqual(['loaded'])
    expect(follower.reloads).toBe(0)
  })

  it('is discarded when the position is lost again while it runs: another one follows', async () => {
    const running = Promise.withResolvers<void>()
    let loads = 0
    const applied: number[] = []
    const slow = noting('slow', [], {
      load: async () => {
        const number = ++loads
        if (number === 2) await running.promise
        return () => void applied.push(number)
      },
    })
    follower.subscribe([slow])
    await follower.load()
    await loseFeed()
    await follower.poll()
    await until('the second load runs', () => loads === 2)
    await loseFeed()
    await follower.poll()
    running.resolve()
    await until('a third one is in effect', async () => {
      await follower.poll()
      return applied.includes(3)
    })
    expect(applied).toEqual([1, 3])
    expect(follower.reloads).toBe(1)
  })
})

describe('what this process committed', () => {
  it('is applied when settling ends, and nothing is forgotten', async () => {
    const log: unknown[] = []
    follower.subscribe([noting('all', log, { forget: () => void log.push('forgotten') })])
    await follower.load()
    log.length = 0
    await change(key)
    await follower.settle([key])
    expect(log).toEqual([['all', [key]]])
  })

  it('is forgotten by subscribers of its kind, in their order, when it cannot be read', async () => {
    const log: unknown[] = []
    const forgets = (name: string) => ({ forget: (c: readonly Change[]) => void log.push([name, c]) })
    follower.subscribe([
      noting('keys', [], { kinds: ['key'], ...forgets('keys') }),
      noting('policy', [], { kinds: ['installation'], ...forgets('policy') }),
      noting('all', [], forgets('all')),
    ])
    await follower.load()
    await proxy.become('cut')
    await follower.settle([key, tenant])
    expect(log).toEqual([
      ['keys', [key]],
      ['all', [key, tenant]],
    ])
  })

  it('is forgotten also while the position is lost: a poll does not show everything then', async () => {
    const log: unknown[] = []
    let loads = 0
    const stuck = new Promise<never>(() => {})
    const never = noting('never', [], {
      load: async () => (++loads === 1 ? () => {} : stuck),
      forget: changes => void log.push(changes),
    })
    follower.subscribe([never])
    await follower.load()
    await loseFeed()
    await follower.settle([key])
    expect(log).toEqual([[key]])
  })
})
