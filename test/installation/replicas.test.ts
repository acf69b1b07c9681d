import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Database } from '../../src/database/database.ts'
import { Replicas } from '../../src/installation/replicas.ts'
import { createLogger } from '../../src/system/logger.ts'
import { PATIENT } from '../support/patient.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'

/** The list of replicas, of which some stopped without leaving it. */
let home: TestDatabase
let database: Database
beforeAll(async () => {
  home = await createTestDatabase()
  const [url, logger] = [home.applicationUrl, createLogger('silent')]
  database = new Database({ url, maxConnections: 1, logger, timeouts: PATIENT })
})
afterAll(async () => {
  await database.close()
  await home.drop()
})

it('keeps those that may have missed a revocation within a day, or may still exchange', async () => {
  await home.asOwner(`INSERT INTO replicas (id, host, staleness_seconds, seen_at, kids)
    SELECT gen_random_uuid(), host, staleness, now() - seen, '{}' FROM (VALUES
      ('serves', 900, interval '1 second'),
      ('silent for an hour', 900, interval '1 hour'),
      ('silent for longer than a day', 900, interval '25 hours'),
      ('may exchange', 172800, interval '25 hours'),
      ('silent for longer than it may exchange', 172800, interval '49 hours')) AS those (host, staleness, seen)`)
  const self = { id: randomUUID(), host: 'this one', stalenessSeconds: 900, gateways: () => ({}) }
  const replicas = new Replicas({ database, ...self })
  await replicas.prune()
  const kept = (await replicas.list()).map(({ host, silent }) => [host, silent])
  expect(kept.toSorted()).toEqual([
    ['may exchange', false],
    ['serves', false],
    ['silent for an hour', true],
  ])
})
