import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  appendChanges,
  CHANGE_CHANNEL,
  feedAfter,
  feedEnd,
  pruneChangeFeed,
} from '../../src/database/change-feed.ts'
import { Database, type DatabaseTimeouts } from '../../src/database/database.ts'
import { createLogger } from '../../src/system/logger.ts'
import { PATIENT } from '../support/patient.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { until } from '../support/until.ts'

let testDatabase: TestDatabase
let database: Database
/** As `database`, with a limit of production. */
let hasty: Database
let impatient: Database
let listener: pg.Client
const heard: string[] = []

beforeAll(async () => {
  testDatabase = await createTestDatabase()
  database = open(PATIENT)
  hasty = open({ ...PATIENT, limits: { ...PATIENT.limits, lock: '600ms' } })
  impatient = open({ ...PATIENT, limits: { ...PATIENT.limits, idle: '400ms' } })
  listener = new pg.Client({ connectionString: testDatabase.applicationUrl })
  await listener.connect()
  listener.on('notification', ({ payload }) => void heard.push(payload ?? ''))
  await listener.query(`LISTEN ${CHANGE_CHANNEL}`)
})
afterAll(async () => {
  await listener.end()
  await database.close()
  await hasty.close()
  await impatient.close()
  await testDatabase.drop()
})

const open = (timeouts: DatabaseTimeouts) =>
  new Database({
    url: testDatabase.applicationUrl,
    maxConnections: 5,
    logger: createLogger('silent'),
    timeouts,
  })

interface Row {
  number: string
  id: string
  changes: { kind: string; id: string }[]
}

const feed = () => testDatabase.asOwner<Row>('SELECT number, id, changes FROM change_feed ORDER BY number')
const latest = async () => Number((await feed()).at(-1)?.number)
const append = (id: string, by = database) => by.write(trx => appendChanges(trx, [{ kind: 'tenant', id }]))
/** A promise, and the function that resolves it. */
const gate = () => {
  let open = () => {}
  const opened = new Promise<void>(resolve => {
    open = resolve
  })
  return { opened, open }
}

describe('the change feed', () => {
  it('begins with a row, so that every replica has a position', async () => {
    expect((await feed())[0]).toMatchObject({ number: '0', changes: [] })
  })

  it('is read in pages: one that is full says that there may be more', async () => {
    const position = await database.run(feedEnd)
    for (const id of ['page-1', 'page-2', 'page-3']) await append(id)
    const idsOf = (page: Awaited<ReturnType<typeof feedAfter>>) => page?.changes.map(({ id }) => id)
    const first = await database.run(db => feedAfter(db, position, 3))
    expect([idsOf(first), first?.more]).toEqual([['page-1', 'page-2'], true])
    const rest = await database.run(db => feedAfter(db, first?.position ?? position, 3))
    expect([idsOf(rest), rest?.more]).toEqual([['page-3'], false])
  })

  it('numbers in the order of commits: a transaction that began earlier and committed later has the later number', async () => {
    const before = await latest()
    const begun = gate()
    const mayEnd = gate()
    const early = database.write(async trx => {
      await trx.selectFrom('tiers').select('name').execute()
      begun.open()
      await mayEnd.opened
      await appendChanges(trx, [{ kind: 'tenant', id: 'begun-first' }])
    })
    await begun.opened
    await append('begun-second')
    mayEnd.open()
    await early
    expect((await feed()).slice(-2).map(row => [Number(row.number), row.changes[0]?.id])).toEqual([
      [before + 1, 'begun-second'],
      [before + 2, 'begun-first'],
    ])
  })

  it('makes the second of two concurrent appends wait for the commit of the first', async () => {
    const before = await latest()
    const appended = gate()
    const mayCommit = gate()
    const first = database.write(async trx => {
      await appendChanges(trx, [{ kind: 'tenant', id: 'first' }])
      appended.open()
      await mayCommit.opened
    })
    await appended.opened
    const second = append('second')
    await until(
      'the second waits for a lock',
      () =>
        testDatabase.asOwner("SELECT FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock'", [
          testDatabase.name,
        ]),
      rows => rows.length === 1,
    )
    expect(await latest()).toBe(before)
    mayCommit.open()
    await Promise.all([first, second])
    // Which of the two answers arrives first here says nothing: the rows do.
    expect((await feed()).slice(-2).map(row => row.changes[0]?.id)).toEqual(['first', 'second'])
  })

  it('leaves neither a row nor a gap after a rollback, and notifies no one', async () => {
    const before = await latest()
    const undone = database.write(async trx => {
      await appendChanges(trx, [{ kind: 'tenant', id: 'undone' }])
      throw new Error('no')
    })
    await expect(undone).rejects.toThrow('no')
    await append('done')
    await until('the next is received', () => heard.includes(String(before + 1)))
    expect((await feed()).at(-1)).toMatchObject({
      number: String(before + 1),
      changes: [{ kind: 'tenant', id: 'done' }],
    })
    expect(heard.filter(number => number === String(before + 1))).toHaveLength(1)
  })

  it('has no gap, no repetition and unique ids after 100 appends by five writers, and notifies of each', async () => {
    const before = await latest()
    const worker = async (name: number) => {
      for (let count = 0; count < 20; count++) await append(`w${name}-${count}`)
    }
    await Promise.all([0, 1, 2, 3, 4].map(worker))
    const rows = (await feed()).filter(row => Number(row.number) > before)
    const expected = Array.from({ length: 100 }, (_, index) => String(before + 1 + index))
    expect(rows.map(row => row.number)).toEqual(expected)
    expect(new Set(rows.map(row => row.id)).size).toBe(100)
    for (const name of [0, 1, 2, 3, 4]) {
      const own = rows.map(row => row.changes[0]?.id ?? '').filter(id => id.startsWith(`w${name}-`))
      expect(own).toEqual(Array.from({ length: 20 }, (_, count) => `w${name}-${count}`))
    }
    await until('all are received', () => expected.every(number => heard.includes(number)))
  })

  it('is pruned by the application role, within its limits', async () => {
    await testDatabase.asOwner(
      "UPDATE change_feed SET created_at = now() - interval '2 days' WHERE number < 10",
    )
    expect(await database.run(pruneChangeFeed)).toBe(10)
    expect(Number((await feed())[0]?.number)).toBe(10)
  })
})

describe('a transaction that would hold up the others', () => {
  it('is given up while it still waits for the counter, as unavailable, with nothing written', async () => {
    const before = await latest()
    const blocker = new pg.Client({ connectionString: testDatabase.ownerUrl })
    await blocker.connect()
    await blocker.query('BEGIN')
    await blocker.query('UPDATE change_counter SET number = number')
    // lock_not_available
    await expect(append('blocked', hasty)).rejects.toMatchObject({
      name: 'Unavailable',
      cause: { code: '55P03' },
    })
    await blocker.query('ROLLBACK')
    await blocker.end()
    await append('free again')
    expect((await feed()).at(-1)).toMatchObject({
      number: String(before + 1),
      changes: [{ kind: 'tenant', id: 'free again' }],
    })
  })

  it('is ended by Postgres when it is idle for 400 ms, and its locks are released', async () => {
    const never = gate()
    const holding = gate()
    const silent = impatient.write(async trx => {
      await appendChanges(trx, [{ kind: 'tenant', id: 'silent' }])
      holding.open()
      await never.opened
      await appendChanges(trx, [{ kind: 'tenant', id: 'silent' }])
    })
    const refused = expect(silent).rejects.toMatchObject({ name: 'Unavailable' })
    await holding.opened
    await append('after it')
    never.open()
    await refused
    expect((await feed()).at(-1)?.changes).toEqual([{ kind: 'tenant', id: 'after it' }])
  })
})
