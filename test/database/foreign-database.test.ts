import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatCredential, randomId } from '../../src/api-keys/api-key.ts'
import { migrate } from '../../src/database/migrate.ts'
import { systemRandom } from '../../src/system/random.ts'
import { promptedClock } from '../support/adjustable-clock.ts'
import { startProcess } from '../support/service-process.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'
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

/** What db/roles.sql grants to mintmark_app: each right on each table and function, and USAGE of the schema. */
async function grantedRights(): Promise<{ right: string; on: string }[]> {
  const text = await readFile('db/roles.sql', 'utf8')
  const grants = [
    ...text.replaceAll(/--.*$/gm, '').matchAll(/GRANT ([A-Z, ]+?)\s+ON ([^;']+?) TO mintmark_app;/g),
  ]
  const each = grants.flatMap(([, rights = '', objects = '']) =>
    objects
      .split(/,\s*/)
      .flatMap(on => rights.split(', ').map(right => ({ right, on: on.replace('FUNCTION ', '') }))),
  )
  return [...each, { right: 'USAGE', on: 'SCHEMA public' }]
}

describe('A right and a table that vanish while it runs', () => {
  const clock = promptedClock()
  let home: TestDatabase
  let mintmark: TestService
  let tenantId: string
  let secret: string
  beforeAll(async () => {
    home = await createTestDatabase()
    mintmark = await startTestService({ database: home, overrides: { clock } })
    const made = await mintmark.tenantWithKey()
    tenantId = made.tenantId
    secret = made.secret
  })
  afterAll(async () => {
    await mintmark.stop()
    await home.drop()
  })
  const exchange = (presented: string) =>
    mintmark.token({ grant_type: 'client_credentials', client_secret: presented })
  const unknownKey = () => formatCredential('mmk', randomId(systemRandom), systemRandom)
  const readyz = () => request(`${mintmark.service.urls.ops}/readyz`)
  const warning = (what: RegExp | undefined) =>
    until(
      'readyz says it',
      () => clock.runJobs().then(readyz),
      ({ body }) => what?.test(body.warning) ?? body.warning === undefined,
      30_000,
    )

  it('is named by readyz, right by right of db/roles.sql; known keys go on, unknown ones get 503 where it is needed', async () => {
    const rights = await grantedRights()
    expect(rights.length).toBeGreaterThan(60)
    const needed: string[] = []
    for (const { right, on } of rights) {
      const kind = on.includes('(') ? 'FUNCTION ' : ''
      await home.asOwner(
        `REVOKE ${right} ON ${kind}${on} FROM mintmark_app${right === 'USAGE' ? ', PUBLIC' : ''}`,
      )
      const named =
        right === 'USAGE'
          ? /lacks .*or the role may not use the schema/
          : new RegExp(`${right} on ${on.replaceAll(/[()]/g, '.')}`)
      expect((await warning(named)).status).toBe(200)
      expect((await exchange(secret)).status).toBe(200)
      const unknown = await exchange(unknownKey())
      expect([401, 503]).toContain(unknown.status)
      if (unknown.status === 503) {
        expect(unknown.headers.get('retry-after')).toMatch(/^\d+$/)
        needed.push(`${right} ${on}`)
      }
      await home.asOwner(`GRANT ${right} ON ${kind}${on} TO mintmark_app`)
    }
    // What the lookup of a key reads, and what a busy machine adds.
    const tables = ['installation', 'tiers', 'models', 'tenants', 'api_keys', 'key_grants', 'api_key_secrets']
    const expected = [...tables.map(table => `SELECT ${table}`), 'USAGE SCHEMA public']
    expect(needed).toEqual(expect.arrayContaining(expected))
    await warning(undefined)
    expect((await exchange(unknownKey())).status).toBe(401)
  })

  it.each(['audit_events', 'api_key_secrets'])('the table %s', async table => {
    await home.asOwner(`ALTER TABLE ${table} RENAME TO elsewhere`)
    await warning(new RegExp(`lacks ${table}`))
    expect((await exchange(secret)).status).toBe(200)
    const change = await mintmark.admin('POST', `/tenants/${tenantId}/keys`, {})
    expect([change.status, change.headers.get('retry-after')]).toEqual([503, expect.stringMatching(/^\d+$/)])
    await home.asOwner(`ALTER TABLE elsewhere RENAME TO ${table}`)
    await warning(undefined)
    expect((await exchange(unknownKey())).status).toBe(401)
  })

  it('another replica does not start, and names the right until it is granted again', async () => {
    await home.asOwner('REVOKE SELECT ON api_key_secrets FROM mintmark_app')
    const other = await startTestService({ database: home, env: mintmark.environment, awaitReady: false })
    await until(
      'the other does not start, for this reason',
      () => request(`${other.service.urls.ops}/readyz`),
      ({ body }) => /may not SELECT on api_key_secrets: GRANT/.test(body.reason),
    )
    await home.asOwner('GRANT SELECT ON api_key_secrets TO mintmark_app')
    await other.service.ready
    await other.service.stop()
  })
})
