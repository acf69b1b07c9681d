import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { migrate } from '../../src/database/migrate.ts'
import { startProcess } from '../support/service-process.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { request, startTestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

/** A database of another owner, and a role that is no superuser. */
const owner = `mintmark_o_${randomBytes(6).toString('hex')}`
let database: TestDatabase
let ownerUrl: string
const as = (user: string, password: string) => {
  const url = new URL(database.ownerUrl)
  url.username = user
  url.password = password
  return url.href
}
beforeAll(async () => {
  database = await createTestDatabase({ empty: true })
  await database.asOwner(`CREATE ROLE ${owner} LOGIN PASSWORD 'x'`)
  ownerUrl = as(owner, 'x')
})
afterAll(async () => {
  await database.asOwner(`DROP OWNED BY ${owner} CASCADE`)
  await database.asOwner(`DROP ROLE ${owner}`)
  await database.drop()
})

describe('An owner without rights on public', () => {
  it('is told by migrate which right it lacks, and what to do', async () => {
    const run = startProcess({ MIGRATE_DATABASE_URL: ownerUrl }, 'src/cli/main.ts', 'migrate')
    expect((await run.exited).code).not.toBe(0)
    expect(run.output()).toMatch(/may not create tables in the schema "public".*GRANT CREATE ON SCHEMA/)
    expect(run.output()).not.toMatch(/aborted/)
  })

  it('is told that it may not create another schema', async () => {
    await expect(migrate(ownerUrl, { schema: 'Elsewhere' })).rejects.toThrow(
      /CREATE SCHEMA "Elsewhere" AUTHORIZATION/,
    )
  })

  it('migrates a schema of its own, twice, and the service runs there as on public', async () => {
    const schema = 'Mint-mark'
    await database.asOwner(`CREATE SCHEMA "${schema}" AUTHORIZATION ${owner}`)
    expect(await migrate(ownerUrl, { schema })).toContain('0001_initial')
    expect(await migrate(ownerUrl, { schema })).toEqual([])
    const env = { MINTMARK_DATABASE_SCHEMA: schema }
    const mintmark = await startTestService({ database, env })
    const { secret, keyId } = await mintmark.tenantWithKey()
    const parameters = { grant_type: 'client_credentials', client_secret: secret }
    expect((await mintmark.token(parameters)).status).toBe(200)
    expect((await mintmark.admin('POST', `/keys/${keyId}/revoke`, {})).status).toBe(200)
    expect((await mintmark.token(parameters)).status).toBe(401)
    const tables = await database.asOwner(
      "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename IN ('api_keys', 'mintmark_migration')",
    )
    expect(tables).toEqual([{ schemaname: schema }])
    // The functions of the owner read its schema.
    await database.asOwner(`SET search_path = pg_catalog`)
    expect(await database.asOwner(`SELECT "${schema}".prune_change_feed(interval '1 day') AS n`)).toEqual([
      { n: '0' },
    ])
    await mintmark.stop()

    const lost = await startTestService({ database, awaitReady: false })
    await until(
      'public has no schema',
      () => request(`${lost.service.urls.ops}/readyz`),
      ({ body }) => /lacks the migrations/.test(body.reason),
    )
    await lost.stop()
  })

  it('migrating as the role of the service is refused with the cure', async () => {
    await expect(migrate(database.applicationUrl, { schema: 'Mint-mark' })).rejects.toThrow(
      /belong to the role "mintmark_o_.*Set MIGRATE_DATABASE_URL to the owner role/,
    )
  })
})

describe('A database in another encoding than UTF8', () => {
  it.each(['SQL_ASCII', 'LATIN1'])('is refused by name by migrate and by the service: %s', async encoding => {
    const name = `mintmark_e_${randomBytes(6).toString('hex')}`
    await database.asOwner(`CREATE DATABASE ${name} ENCODING '${encoding}' LOCALE 'C' TEMPLATE template0`)
    const at = (url: string) => Object.assign(new URL(url), { pathname: `/${name}` }).href
    await expect(migrate(at(database.ownerUrl))).rejects.toThrow(`has the encoding ${encoding}`)
    const mintmark = await startTestService({
      database,
      env: { DATABASE_URL: at(database.applicationUrl) },
      awaitReady: false,
    })
    await until(
      'readyz says it',
      () => request(`${mintmark.service.urls.ops}/readyz`),
      ({ body }) => body.reason.includes(`has the encoding ${encoding}`),
    )
    await mintmark.stop()
    await database.asOwner(`DROP DATABASE ${name} WITH (FORCE)`)
  })
})

describe('A right and a table that vanish while it runs', () => {
  it('unknown keys get 503 with Retry-After, known ones their token, and readyz names it', async () => {
    const home = await createTestDatabase()
    const mintmark = await startTestService({ database: home })
    const { secret } = await mintmark.tenantWithKey()
    const exchange = (presented: string) =>
      mintmark.token({ grant_type: 'client_credentials', client_secret: presented })
    const unknown = `${secret.slice(0, 5)}${secret.slice(5).split('').reverse().join('')}`
    await home.asOwner('REVOKE SELECT ON api_key_secrets FROM mintmark_app')
    const other = await startTestService({ database: home, env: mintmark.environment, awaitReady: false })
    const warned = await until(
      'readyz names the right',
      () => request(`${mintmark.service.urls.ops}/readyz`),
      ({ body }) => /may not SELECT on api_key_secrets: GRANT/.test(body.warning ?? ''),
    )
    expect(warned.status).toBe(200)
    expect((await exchange(secret)).status).toBe(200)
    const answer = await exchange(unknown)
    expect([answer.status, answer.headers.get('retry-after') !== null]).toEqual(
      answer.status === 401 ? [401, false] : [503, true],
    )
    await until(
      'the other does not start, for this reason',
      () => request(`${other.service.urls.ops}/readyz`),
      ({ body }) => /may not SELECT on api_key_secrets/.test(body.reason),
    )
    await other.stop()
    await home.asOwner('ALTER TABLE audit_events RENAME TO elsewhere')
    await until(
      'readyz names the table',
      () => request(`${mintmark.service.urls.ops}/readyz`),
      ({ body }) => /lacks the tables audit_events/.test(body.warning ?? ''),
    )
    await mintmark.stop()
    await home.drop()
  })
})
