import pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { briskClock } from '../support/adjustable-clock.ts'
import { PATIENT } from '../support/patient.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

let mintmark: TestService
let administrator: pg.Client
beforeAll(async () => {
  // It waits for a lock for less than a second, not for six.
  const databaseTimeouts = { ...PATIENT, limits: { ...PATIENT.limits, lock: '500ms' } }
  mintmark = await startTestService({ overrides: { clock: briskClock, databaseTimeouts } })
  administrator = new pg.Client({ connectionString: mintmark.database.ownerUrl })
  administrator.on('error', () => {})
  await administrator.connect()
})
afterAll(async () => {
  await administrator.end()
  await mintmark.stop()
})
afterEach(async () => void (await administrator.query('ROLLBACK')))
const readyz = (service: TestService) => request(`${service.service.urls.ops}/readyz`)

it.each(['api_keys', 'change_feed', 'signing_keys'])(
  'A lock that an administrator holds on %s is named with its cure, known keys are exchanged, and it heals',
  async table => {
    const { secret, tenantId } = await mintmark.tenantWithKey()
    await administrator.query('BEGIN')
    await administrator.query(`LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`)
    const named = new RegExp(
      `holds the lock AccessExclusiveLock on the table ${table}: .*pg_terminate_backend`,
    )
    await until(
      'readyz says it',
      () => readyz(mintmark),
      ({ status, body }) => status === 200 && named.test(body.warning ?? ''),
    )
    const answer = await mintmark.token({ grant_type: 'client_credentials', client_secret: secret })
    expect(answer.status).toBe(200)
    const other = await startTestService({
      database: mintmark.database,
      env: mintmark.environment,
      // The times of production.
      overrides: { databaseTimeouts: undefined },
      awaitReady: false,
    })
    await until(
      'another replica says it',
      () => readyz(other),
      ({ status, body }) => status === 503 && /lock timeout .*another session holds a lock/.test(body.reason),
    )
    await administrator.query('ROLLBACK')
    await other.service.ready
    await other.service.stop()
    await until(
      'nothing fails any more',
      () => readyz(mintmark),
      ({ body }) => body.warning === undefined,
      60_000,
    )
    const changed = () => mintmark.admin('PATCH', `/tenants/${tenantId}`, { name: 'after' })
    await until('changes are stored', changed, ({ status }) => status === 200)
  },
)
