import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { migrate } from '../../src/database/migrate.ts'
import { lacksPgBouncer, type PgBouncer, startPgBouncerWith } from '../support/pgbouncer.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

let database: TestDatabase
let pooler: PgBouncer | undefined
let mintmark: TestService | undefined
beforeAll(async () => {
  database = await createTestDatabase()
})
afterEach(async () => {
  await mintmark?.stop()
  await pooler?.stop()
  ;[mintmark, pooler] = [undefined, undefined]
})
afterAll(async () => {
  await database.drop()
})

describe.skipIf(lacksPgBouncer())('A PgBouncer', () => {
  const started = async (settings: Record<string, string>) => {
    pooler = await startPgBouncerWith(settings, database.ownerUrl, database.applicationUrl)
    mintmark = await startTestService({
      database,
      env: { DATABASE_URL: pooler.through(database.applicationUrl) },
      awaitReady: false,
    })
    return mintmark
  }

  it.each([
    [{ pool_mode: 'statement' }, /statement pooling mode \(set pool_mode = transaction in the pooler/],
    [
      { pool_mode: 'session', default_pool_size: '1' },
      /use pool_mode = transaction or raise default_pool_size/,
    ],
    [{ max_client_conn: '2' }, /max_client_conn\) \(raise that limit in the pooler/],
    [{ disable_pqexec: '1' }, /PQexec disallowed \(set disable_pqexec = 0 in the pooler/],
  ])('with %j is refused with the cure', async (settings, reason) => {
    const { service } = await started(settings)
    await until(
      'readyz says it',
      () => request(`${service.urls.ops}/readyz`),
      ({ status, body }) => status === 503 && reason.test(body.reason),
    )
  })

  it.each([
    { default_pool_size: '1' },
    { server_reset_query: 'DISCARD ALL', server_reset_query_always: '1' },
    { pool_mode: 'session', default_pool_size: '20', server_reset_query: 'DISCARD ALL' },
    { server_lifetime: '1', server_idle_timeout: '1', client_idle_timeout: '1' },
    { query_wait_timeout: '1', idle_transaction_timeout: '1' },
    { ignore_startup_parameters: '' },
  ])('with %j is used', async settings => {
    const { service, admin } = await started(settings)
    await service.ready
    const changed = () => admin('PUT', '/models/llama', { description: JSON.stringify(settings) })
    expect((await until('a change', changed, ({ status }) => status !== 503)).status).toBeLessThan(300)
  })

  it('that gives the migration one connection is refused with the cure', async () => {
    pooler = await startPgBouncerWith({ default_pool_size: '1' }, database.ownerUrl)
    await expect(migrate(pooler.through(database.ownerUrl))).rejects.toThrow(
      /gives the migration no second connection.*default_pool_size/,
    )
  })
})
