import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatCredential, randomId } from '../../src/api-keys/api-key.ts'
import { migrate } from '../../src/database/migrate.ts'
import { systemRandom } from '../../src/system/random.ts'
import { Postgres } from '../faults/environment/postgres.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

let postgres: Postgres
let mintmark: TestService
let secret: string
let keyId: string
beforeAll(async () => {
  postgres = await Postgres.create()
  mintmark = await startTestService({ env: { DATABASE_URL: postgres.applicationUrl() } })
  ;({ secret, keyId } = await mintmark.tenantWithKey())
})
afterAll(async () => {
  await mintmark?.stop()
  await postgres?.remove()
})

const exchange = async (presented: string) => {
  const { status, headers } = await mintmark.token({
    grant_type: 'client_credentials',
    client_secret: presented,
  })
  return { status, retryAfter: headers.get('retry-after') }
}
const unknownKey = () => formatCredential('mmk', randomId(systemRandom), systemRandom)
const readyz = () => request(`${mintmark.service.urls.ops}/readyz`)
const warned = (cure: RegExp) =>
  until(
    'readyz says it',
    readyz,
    ({ status, body }) => status === 200 && cure.test(body.warning ?? ''),
    30_000,
  )
const healed = () => until('nothing fails any more', readyz, ({ body }) => body.warning === undefined, 60_000)
const create = (id: string) => mintmark.admin('POST', '/tenants', { id })
/** A session may be ended by the restart. */
const created = (id: string) =>
  until(
    'changes are stored',
    () => create(id),
    ({ status }) => status === 201 || status === 409,
    30_000,
  )

describe('A server that became a standby', () => {
  it('fails changes and unknown keys with 503, is named with its cure, and known keys are exchanged until it is promoted', async () => {
    await postgres.kill()
    await postgres.file('data/standby.signal', '')
    await postgres.start()
    await warned(/is a standby, which cannot be changed: the database URL must lead to the primary/)
    const refused = await create('late')
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, expect.any(String)])
    expect(await exchange(unknownKey())).toEqual({ status: 503, retryAfter: expect.any(String) })
    expect((await exchange(secret)).status).toBe(200)
    await expect(migrate(postgres.ownerUrl)).rejects.toThrow()

    const other = await startTestService({
      env: { ...mintmark.environment, DATABASE_URL: postgres.applicationUrl() },
      awaitReady: false,
    })
    await until(
      'another replica does not start there',
      () => request(`${other.service.urls.ops}/readyz`),
      ({ status, body }) => status === 503 && /is a standby/.test(body.reason),
    )
    await postgres.sql('SELECT pg_promote()', [], 'postgres')
    await other.service.ready
    await other.stop()
    await healed()
    await created('late')
  })
})

describe('A server that waits for a synchronous standby which is lost', () => {
  const setStandbys = async (names: string) => {
    await postgres.sql(`ALTER SYSTEM SET synchronous_standby_names = '${names}'`, [], 'postgres')
    await postgres.sql('SELECT pg_reload_conf()', [], 'postgres')
  }

  it('fails changes with 503, is named with its cure, and what was revoked meanwhile is refused', async () => {
    await setStandbys('lost')
    try {
      await until(
        'a change is not confirmed',
        () => create(`t-${Date.now()}`),
        ({ status }) => status === 503,
      )
      await warned(/COMMIT was not answered in time \(changes may be stored.*synchronous_standby_names/)
      expect((await exchange(secret)).status).toBe(200)
      expect((await mintmark.admin('POST', `/keys/${keyId}/revoke`, {})).status).toBe(503)
      await until(
        'it is refused',
        () => exchange(secret),
        ({ status }) => status === 401,
      )
    } finally {
      await setStandbys('')
    }
    await healed()
    await created('later')
  })
})
