import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatCredential, randomId } from '../../src/api-keys/api-key.ts'
import { type Clock, systemClock } from '../../src/system/clock.ts'
import { systemRandom } from '../../src/system/random.ts'
import { promptedClock } from '../support/adjustable-clock.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

const clock = promptedClock()
/** A start that failed is tried again after 50 ms, not after a second. */
const impatient: Clock = {
  ...systemClock,
  sleep: (ms, signal) => {
    pauses++
    return systemClock.sleep(Math.min(ms, 50), signal)
  },
}
let pauses = 0
let mintmark: TestService
let secret: string
let keyId: string
beforeAll(async () => {
  mintmark = await startTestService({ overrides: { clock } })
  ;({ secret, keyId } = await mintmark.tenantWithKey())
  await owner(`
    CREATE FUNCTION dba() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN old; END $$;
    CREATE FUNCTION raises() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no tenants on Sundays'; END $$;
    CREATE ROLE ${stranger()} NOLOGIN`)
})
afterAll(async () => {
  await owner(`DROP OWNED BY ${stranger()}; DROP ROLE ${stranger()}`)
  await mintmark.stop()
})
const owner = (statements: string) => mintmark.database.asOwner(statements)
/** Roles belong to the server. */
const stranger = () => `stranger_${mintmark.database.name}`

const exchange = (presented: string) =>
  mintmark.token({ grant_type: 'client_credentials', client_secret: presented })
const readyz = (service: TestService) => request(`${service.service.urls.ops}/readyz`)
const warned = (text: RegExp | undefined) =>
  until(
    'readyz says it',
    () => clock.runJobs().then(() => readyz(mintmark)),
    ({ status, body }) => status === 200 && (text?.test(body.warning) ?? body.warning === undefined),
    60_000,
  )

/** Another replica does not start until it is undone, and logs the reason once, however often it tries. */
async function refused(change: string, reason: RegExp, undo: string): Promise<void> {
  await owner(change)
  const other = await startTestService({
    database: mintmark.database,
    env: mintmark.environment,
    overrides: { clock: impatient },
    awaitReady: false,
  })
  try {
    await until(
      'readyz says it',
      () => readyz(other),
      ({ status, body }) => status === 503 && reason.test(body.reason),
    )
    const before = pauses
    await until('it tries again', () => pauses >= before + 3)
    const logged = other.logs.map(line => JSON.parse(line)).filter(({ msg }) => msg === 'not ready')
    expect(logged.filter(line => reason.test(line.reason))).toHaveLength(1)
  } finally {
    await owner(undo)
  }
  await other.service.ready
  await other.service.stop()
}

describe('What an administrator put on the tables of Mintmark', () => {
  it.each([
    [
      'row-level security',
      'ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY',
      'ALTER TABLE api_keys DISABLE ROW LEVEL SECURITY',
      /api_keys has row-level security, which hides rows: ALTER TABLE api_keys DISABLE/,
    ],
    [
      'row-level security on the list of migrations',
      'ALTER TABLE mintmark_migration ENABLE ROW LEVEL SECURITY',
      'ALTER TABLE mintmark_migration DISABLE ROW LEVEL SECURITY',
      /mintmark_migration.*row-level security: ALTER TABLE/,
    ],
    [
      'a trigger that may discard an update',
      'CREATE TRIGGER "Touch" BEFORE UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION dba()',
      'DROP TRIGGER "Touch" ON api_keys',
      /api_keys has the trigger "Touch", .*: DROP TRIGGER "Touch" ON api_keys/,
    ],
    [
      'disabled triggers',
      'ALTER TABLE signing_keys DISABLE TRIGGER ALL',
      'ALTER TABLE signing_keys ENABLE TRIGGER ALL',
      /Triggers of the table signing_keys are disabled.*ENABLE TRIGGER ALL/,
    ],
    [
      'a rule',
      'CREATE RULE nothing AS ON UPDATE TO api_key_secrets DO INSTEAD NOTHING',
      'DROP RULE nothing ON api_key_secrets',
      /api_key_secrets has the rule nothing.*DROP RULE nothing ON api_key_secrets/,
    ],
    [
      'a table that inherits',
      'CREATE TABLE more_tiers () INHERITS (tiers)',
      'DROP TABLE more_tiers',
      /more_tiers inherits from tiers/,
    ],
    [
      'a counter of changes that is older than the audit trail',
      'UPDATE change_counter SET audit_id = audit_id - 1',
      'UPDATE change_counter SET audit_id = audit_id + 1',
      /change_counter is at audit row \d+, and audit_events has later ones, as after "pg_restore --data-only"/,
    ],
    [
      'a counter of changes that is older than the feed',
      'UPDATE change_counter SET number = number - 1',
      'UPDATE change_counter SET number = number + 1',
      /change_counter is at change \d+, and change_feed has later ones, .*empty database/,
    ],
  ])('keeps a replica from starting, and it says which: %s', async (_, change, undo, text) => {
    await refused(change, text, undo)
  })

  it.each([
    [
      'function',
      "CREATE FUNCTION unnest(text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN RAISE 'taken over'; END $$",
      'DROP FUNCTION unnest(text[])',
      /the function public\.unnest\(text\[\]\) of another role/,
    ],
    [
      'operator',
      "CREATE FUNCTION same(text, varchar) RETURNS boolean LANGUAGE sql AS 'SELECT true'; CREATE OPERATOR = (LEFTARG = text, RIGHTARG = varchar, FUNCTION = same)",
      'DROP OPERATOR = (text, varchar); DROP FUNCTION same(text, varchar)',
      /the operator public\.=\(text,character varying\) of another role/,
    ],
  ])(
    'keeps a replica from starting, as Postgres would take it for its own: a %s of another role',
    async (_, create, drop, text) => {
      const change = `GRANT CREATE ON SCHEMA public TO ${stranger()}; SET ROLE ${stranger()}; ${create}; RESET ROLE`
      await refused(change, text, `${drop}; REVOKE CREATE ON SCHEMA public FROM ${stranger()}`)
    },
  )

  it('hides no row from a replica that runs: known keys are exchanged, unknown ones get 503, and readyz says why', async () => {
    await owner('ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY')
    const unknown = await exchange(formatCredential('mmk', randomId(systemRandom), systemRandom))
    expect([unknown.status, unknown.headers.get('retry-after')]).toEqual([
      503,
      expect.stringMatching(/^\d+$/),
    ])
    expect((await exchange(secret)).status).toBe(200)
    expect((await mintmark.admin('GET', `/keys/${keyId}`)).status).toBe(503)
    await warned(/api_keys has row-level security/)
    await owner('ALTER TABLE api_keys DISABLE ROW LEVEL SECURITY')
    await warned(undefined)
    expect((await mintmark.admin('GET', `/keys/${keyId}`)).status).toBe(200)
  })

  it('may run after a change; an error that it raises is a 503 with its text in readyz', async () => {
    await owner('CREATE TRIGGER closed AFTER INSERT ON tenants FOR EACH ROW EXECUTE FUNCTION raises()')
    const refused = await mintmark.admin('POST', '/tenants', { id: 'sunday' })
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([
      503,
      expect.stringMatching(/^\d+$/),
    ])
    await warned(/no tenants on Sundays .*change or drop the trigger/)
    await owner('DROP TRIGGER closed ON tenants')
    await warned(undefined)
    expect((await mintmark.admin('POST', '/tenants', { id: 'sunday' })).status).toBe(201)
  })

  it('warns that every role may create functions there', async () => {
    await owner('GRANT CREATE ON SCHEMA public TO PUBLIC')
    await warned(
      /Every role may create functions in the schema "public".*REVOKE CREATE ON SCHEMA "public" FROM PUBLIC/,
    )
    await owner('REVOKE CREATE ON SCHEMA public FROM PUBLIC')
    await warned(undefined)
  })
})

it('A publication of all tables stops no statement, also where rows are deleted', async () => {
  await owner('CREATE PUBLICATION everything FOR ALL TABLES')
  const tables = await mintmark.database.asOwner<{ name: string }>(
    `SELECT oid::regclass::text AS name FROM pg_class
     WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relname NOT LIKE 'audit%'`,
  )
  expect(tables.length).toBeGreaterThan(40)
  for (const { name } of tables) await owner(`DELETE FROM ${name} WHERE false`)
  await owner('DROP PUBLICATION everything')
})
