import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { generateSigningKey } from '../../../src/signing-keys/signing-key.ts'
import { rewriteSigningKeys } from '../../support/sealed-rows.ts'
import { type ServiceProcess, startProcess } from '../../support/service-process.ts'
import { createTestDatabase, type TestDatabase } from '../../support/test-database.ts'
import { request, testEnvironment } from '../../support/test-service.ts'
import { until } from '../../support/until.ts'
import { type Moment, startKillTrap } from './kill-trap.ts'
import { FULL, PATIENCE_MS, type StoredKey, storedKeys } from './replica-set.ts'

/**
 * kill -9 at each step of each change of the keys: the request of that step has reached Postgres, and its response
 * never arrives. Steps are recognized by the SQL on the wire, so that nothing in the service depends on these tests.
 */

const COMMIT: Moment = { text: 'commit', after: 'UPDATE change_counter' }
const STEPS: Record<'takeOver' | 'leave' | 'emergency' | 'first', Record<string, Moment>> = {
  takeOver: {
    'BEGIN sent': { text: 'BEGIN ISOLATION LEVEL' },
    'row lock asked for': { text: 'SELECT FROM installation FOR UPDATE' },
    'the active key retires': { text: '"retires_at" = ' },
    'the standby becomes active': { text: 'update "signing_keys" set "state" = $1, "activates_at" = ' },
    'the next standby is created': { text: 'insert into "signing_keys"' },
    'the audit rows are written': { text: 'INSERT INTO audit_events' },
    'the number in the feed is taken': { text: 'SET number = number + 1' },
    'COMMIT sent, answer not seen': COMMIT,
    'COMMIT answered, this replica ended': { text: 'insert into "replicas"' },
  },
  leave: {
    'the private key is forgotten': { text: 'update "signing_keys" set "private_encrypted" = ' },
    'the key is removed': { text: 'update "signing_keys" set "state" = $1, "removed_at" = ' },
    'COMMIT sent, answer not seen': COMMIT,
  },
  emergency: {
    'the key is revoked': { text: '"revoked_at" = ' },
    'the standby becomes active': { text: 'update "signing_keys" set "state" = $1, "activates_at" = ' },
    'the next standby is created': { text: 'insert into "signing_keys"' },
    'COMMIT sent, answer not seen': COMMIT,
  },
  first: {
    'the first key is created': { text: 'insert into "signing_keys"' },
    'the audit rows are written': { text: 'INSERT INTO audit_events', after: 'insert into "signing_keys"' },
    'COMMIT sent, answer not seen': { ...COMMIT, after: 'insert into "signing_keys"' },
    'COMMIT answered, this replica ended': { text: 'insert into "replicas"' },
  },
}
const POINTS = Object.values(STEPS).flatMap(steps => Object.keys(steps)).length
/** Of each: 200 in total, and one in the short form. */
const RUNS = FULL ? Math.ceil(200 / POINTS) : 1

const shared: Record<string, string> = {
  ...testEnvironment(),
  MINTMARK_PUBLISH_LEAD_SECONDS: '1',
  MINTMARK_SHORT_PUBLISH_LEAD: 'allowed',
}

interface Place {
  database: TestDatabase
  trap: Awaited<ReturnType<typeof startKillTrap>>
  service: ServiceProcess | undefined
}

async function place(): Promise<Place> {
  const database = await createTestDatabase()
  return { database, trap: await startKillTrap(database.applicationUrl), service: undefined }
}

function start(where: Place): ServiceProcess {
  // LISTEN bypasses the trap, so that all traffic through it belongs to the change.
  const urls = { DATABASE_URL: where.trap.url, DATABASE_URL_DIRECT: where.database.applicationUrl }
  where.service = startProcess({ ...shared, ...urls })
  return where.service
}

async function leave(where: Place): Promise<void> {
  await where.service?.kill()
  await where.trap.close()
  await where.database.drop()
}

/** At any moment each algorithm has at most one of these, and no private key without a use. */
function expectSound(keys: readonly StoredKey[]): void {
  const count = (state: string) => keys.filter(key => key.state === state).length
  expect([count('active'), count('standby')].filter(number => number > 1)).toEqual([])
  const orphans = keys.filter(
    key =>
      key.hasPrivate && (key.state === 'removed' || (key.state === 'retiring' && key.forgetsAt === null)),
  )
  expect(orphans).toEqual([])
}

/** Back to one active and one standby, published and signing. */
async function expectWhole(where: Place): Promise<void> {
  const urls = await start(where).ready(PATIENCE_MS)
  const settled = (keys: StoredKey[]) => {
    const due = keys.some(key => key.state === 'standby' && (key.activatesAt?.getTime() ?? 0) <= Date.now())
    return !due && ['active', 'standby'].every(state => keys.filter(key => key.state === state).length === 1)
  }
  const keys = await until('it is whole again', () => storedKeys(where.database), settled, PATIENCE_MS)
  expectSound(keys)
  const { status, body } = await request(`${urls.public}/.well-known/jwks.json`)
  expect([status, body.keys.length > 0]).toEqual([200, true])
}

const publishedIn = (keys: readonly StoredKey[]) => keys.filter(key => key.state !== 'removed').length

async function crash(where: Place, moment: Moment, provoke: () => Promise<unknown>): Promise<void> {
  const sprung = where.trap.set(moment)
  await provoke()
  await sprung
  await where.service?.kill()
  expectSound(await storedKeys(where.database))
}

/** The standby's time has come. */
const makeDue = ({ database }: Place) =>
  rewriteSigningKeys(
    database,
    shared,
    "UPDATE signing_keys SET activates_at = date_trunc('second', now()) WHERE state = 'standby'",
  )

/** Two retiring keys: the private key of both is due to be forgotten, and one of them to be removed. */
async function addLeavingKeys({ database }: Place): Promise<void> {
  const keys = await Promise.all([generateSigningKey('ES256'), generateSigningKey('ES256')])
  await rewriteSigningKeys(
    database,
    shared,
    `INSERT INTO signing_keys (kid, alg, state, public_jwk, private_encrypted, encryption_key_id, published_at,
        activates_at, retires_at, forgets_at)
      SELECT made.kid, alg, 'retiring', made.jwk, private_encrypted, encryption_key_id, published_at,
        at, CASE made.n WHEN 1 THEN at ELSE at + interval '1 hour' END, at
      FROM signing_keys, date_trunc('second', now()) AS at,
        unnest($1::text[], $2::jsonb[]) WITH ORDINALITY AS made (kid, jwk, n) WHERE state = 'standby'`,
    [keys.map(({ kid }) => kid), keys.map(({ publicJwk }) => JSON.stringify(publicJwk))],
  )
}

describe.each([
  ['a turn-over', STEPS.takeOver, makeDue],
  ['a key that leaves', STEPS.leave, addLeavingKeys],
])('kill -9 during %s', (_, steps, provoke) => {
  let where: Place
  beforeAll(async () => {
    where = await place()
    await start(where).ready(PATIENCE_MS)
  })
  afterAll(() => leave(where))

  it.each(Object.entries(steps))('%s', async (name, moment) => {
    for (let run = 0; run < RUNS; run++) {
      await crash(where, moment, () => provoke(where))
      expect(publishedIn(await storedKeys(where.database))).toBeGreaterThan(0)
      await expectWhole(where)
      await where.database.asOwner("DELETE FROM signing_keys WHERE state IN ('retiring', 'removed')")
    }
    console.log(`${name}: ${RUNS} crashes, each back to one active and one standby`)
  })
})

describe('kill -9 during an emergency', () => {
  let where: Place
  beforeAll(async () => {
    where = await place()
    await start(where).ready(PATIENCE_MS)
  })
  afterAll(() => leave(where))

  it.each(Object.entries(STEPS.emergency))('%s', async (name, moment) => {
    for (let run = 0; run < RUNS; run++) {
      const before = (await storedKeys(where.database)).find(key => key.state === 'active')
      const urls = await where.service?.ready(PATIENCE_MS)
      await crash(where, moment, async () => {
        fetch(`${urls?.admin}/admin/v1/signing-keys/${before?.kid}/revoke`, {
          method: 'POST',
          headers: { authorization: `Bearer ${shared.MINTMARK_ROOT_TOKEN}` },
        }).catch(() => {})
      })
      const after = (await storedKeys(where.database)).find(key => key.kid === before?.kid)
      // All of it or nothing: the key is revoked and its private key deleted, or it signs as before.
      expect([after?.state, after?.hasPrivate]).toEqual(
        after?.state === 'removed' ? ['removed', false] : ['active', true],
      )
      await expectWhole(where)
    }
    console.log(`${name}: ${RUNS} crashes, each back to one active and one standby`)
  })
})

describe('kill -9 during the first start', () => {
  it.each(Object.entries(STEPS.first))('%s', async (name, moment) => {
    for (let run = 0; run < RUNS; run++) {
      const where = await place()
      await crash(where, moment, async () => start(where))
      await expectWhole(where)
      await leave(where)
    }
    console.log(`${name}: ${RUNS} crashes, each back to one active and one standby`)
  })
})
