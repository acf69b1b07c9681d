import { Socket } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Database } from '../../src/database/database.ts'
import { databaseNow } from '../../src/database/database-time.ts'
import { createLogger } from '../../src/system/logger.ts'
import { PATIENT } from '../support/patient.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { until } from '../support/until.ts'

const CONNECTIONS = 3

let testDatabase: TestDatabase
let proxy: TcpProxy & { url: string }
let database: Database

beforeAll(async () => {
  testDatabase = await createTestDatabase()
  proxy = await TcpProxy.before(testDatabase.applicationUrl)
  database = new Database({
    url: proxy.url,
    maxConnections: CONNECTIONS,
    logger: createLogger('silent'),
    timeouts: PATIENT,
  })
})
afterAll(async () => {
  await proxy.become('none')
  await database.close()
  await proxy.close()
  await testDatabase.drop()
})

/** Our ends of the connections. Other suites of this process may have sockets too. */
function ends(): number {
  const handles = (process as unknown as { _getActiveHandles(): object[] })._getActiveHandles()
  return handles.filter(
    handle => handle instanceof Socket && handle.remotePort === Number(new URL(proxy.url).port),
  ).length
}

it('idle connections with a peer that vanished silently are closed within 10 s', async () => {
  await Promise.all(Array.from({ length: CONNECTIONS }, () => database.run(databaseNow)))
  expect(ends()).toBe(CONNECTIONS)
  await proxy.become('freeze')
  await until('our ends are gone', ends, count => count === 0)
})
