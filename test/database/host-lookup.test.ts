import { PerformanceObserver } from 'node:perf_hooks'
import { setImmediate as turn } from 'node:timers/promises'
import { sql } from 'kysely'
import { expect, it } from 'vitest'
import { Database } from '../../src/database/database.ts'
import { createLogger } from '../../src/system/logger.ts'
import { PATIENT } from '../support/patient.ts'
import { createTestDatabase } from '../support/test-database.ts'

const CONNECTIONS = 8

/** Each lookup holds a thread of libuv for as long as the name server does not answer. */
it('looks the host up once for connections that are opened at the same time', async () => {
  const testDatabase = await createTestDatabase()
  const url = new URL(testDatabase.applicationUrl)
  url.hostname = 'localhost'
  const database = new Database({
    url: url.href,
    maxConnections: CONNECTIONS,
    logger: createLogger('silent'),
    timeouts: PATIENT,
  })
  const lookups: string[] = []
  const observer = new PerformanceObserver(list => lookups.push(...list.getEntries().map(({ name }) => name)))
  observer.observe({ entryTypes: ['dns'] })
  try {
    const query = () => database.run(db => sql`SELECT pg_sleep(0.1)`.execute(db))
    await Promise.all(Array.from({ length: CONNECTIONS }, query))
    expect(database.connections.idle).toBe(CONNECTIONS)
    while (lookups.length === 0) await turn()
    expect(lookups.filter(name => name === 'lookup')).toHaveLength(1)
  } finally {
    observer.disconnect()
    await database.close()
    await testDatabase.drop()
  }
})
