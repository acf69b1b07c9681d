import { afterAll, beforeAll, expect, it } from 'vitest'
import { Database } from '../../src/database/database.ts'
import { databaseNow } from '../../src/database/database-time.ts'
import { createLogger } from '../../src/system/logger.ts'
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
  database = new Database({ url: proxy.url, maxConnections: CONNECTIONS, logger: createLogger('silent') })
})
afterAll(async () => {
  await proxy.become('none')
  await database.close()
  await proxy.close()
  await testDatabase.drop()
})

/** Sockets of this process: each connection has one at our end, and two in the proxy. */
const sockets = () => process.getActiveResourcesInfo().filter(name => name === 'TCPSocketWrap').length

it('idle connections with a peer that vanished silently are closed within 10 s', async () => {
  const none = sockets()
  await Promise.all(Array.from({ length: CONNECTIONS }, () => database.run(databaseNow)))
  expect(sockets() - none).toBe(3 * CONNECTIONS)
  await proxy.become('freeze')
  await until('our ends are gone', sockets, count => count - none === 2 * CONNECTIONS, 10_000)
})
