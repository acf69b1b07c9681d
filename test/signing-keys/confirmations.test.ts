import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Database } from '../../src/database/database.ts'
import { Replicas } from '../../src/installation/replicas.ts'
import { confirmations } from '../../src/signing-keys/emergency.ts'
import { type Clock, systemClock } from '../../src/system/clock.ts'
import { createLogger } from '../../src/system/logger.ts'
import { PATIENT } from '../support/patient.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'

/** Which replicas have dropped a revoked signing key, and for how long a revocation waits for them. */

const KID = 'revoked'

let stored: TestDatabase
let database: Database
beforeAll(async () => {
  stored = await createTestDatabase()
  database = new Database({
    url: stored.applicationUrl,
    maxConnections: 2,
    logger: createLogger('silent'),
    timeouts: PATIENT,
  })
})
afterAll(async () => {
  await database.close()
  await stored.drop()
})
beforeEach(() => stored.asOwner('DELETE FROM replicas'))

const replica = (host: string) =>
  new Replicas({ database, id: randomUUID(), host, stalenessSeconds: 600, gateways: () => ({}) })

/** A clock that only pauses move; what happens meanwhile is `during`, which gets the number of the pause. */
function pausing(during: (pause: number) => Promise<void> = async () => {}) {
  let nowMs = 0
  let pauses = 0
  const clock: Clock = {
    ...systemClock,
    monotonicMs: () => nowMs,
    sleep: async ms => {
      nowMs += ms
      pauses++
      if (nowMs > 60_000) throw new Error('it waits without end')
      await during(pauses)
    },
  }
  return { clock, waitedMs: () => nowMs }
}

const hosts = (replicas: { host: string }[]) => replicas.map(({ host }) => host).sort()

describe('a revocation of a signing key', () => {
  it('waits for nobody when no replica has the key any more', async () => {
    const [one, two] = [replica('one'), replica('two')]
    await one.announce(['next'])
    await two.announce(['next'])
    const { clock, waitedMs } = pausing()
    const { confirmed, unconfirmed } = await confirmations({ replicas: one, clock }, KID)
    expect([hosts(confirmed), hosts(unconfirmed), waitedMs()]).toEqual([['one', 'two'], [], 0])
  })

  it('waits until the last replica that has the key has dropped it', async () => {
    const [one, two, three] = [replica('one'), replica('two'), replica('three')]
    await one.announce(['next'])
    await two.announce([KID, 'next'])
    await three.announce([KID, 'next'])
    const { clock, waitedMs } = pausing(async pause => {
      if (pause === 2) await two.announce(['next'])
      if (pause === 5) await three.announce(['next'])
    })
    const { confirmed, unconfirmed } = await confirmations({ replicas: one, clock }, KID)
    expect([hosts(confirmed), hosts(unconfirmed)]).toEqual([['one', 'three', 'two'], []])
    expect(waitedMs()).toBeLessThan(2_000)
  })

  it('names those that have not dropped it within two seconds, and does not wait longer', async () => {
    const [one, two] = [replica('one'), replica('two')]
    await one.announce(['next'])
    await two.announce([KID])
    const { clock, waitedMs } = pausing()
    const { confirmed, unconfirmed } = await confirmations({ replicas: one, clock }, KID)
    expect([hosts(confirmed), hosts(unconfirmed)]).toEqual([['one'], ['two']])
    expect([waitedMs() >= 2_000, waitedMs() <= 2_500]).toEqual([true, true])
  })

  it('does not wait for a replica that has stopped exchanging, nor for one that has left', async () => {
    const [one, two, three] = [replica('one'), replica('two'), replica('three')]
    await one.announce(['next'])
    await two.announce([KID])
    await three.announce([KID])
    await stored.asOwner("UPDATE replicas SET seen_at = now() - interval '1 day' WHERE host = 'two'")
    await three.leave()
    const { clock, waitedMs } = pausing()
    const { confirmed, unconfirmed } = await confirmations({ replicas: one, clock }, KID)
    expect([hosts(confirmed), hosts(unconfirmed), waitedMs()]).toEqual([['one'], [], 0])
  })
})
