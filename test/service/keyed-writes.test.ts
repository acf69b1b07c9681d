import { afterAll, beforeAll, expect, it } from 'vitest'
import { type ServiceProcess, startProcess } from '../support/service-process.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { request, testEnvironment } from '../support/test-service.ts'
import { until } from '../support/until.ts'

/**
 * 40 keyed writes, each repeated until it is answered, while the service is killed (kill -9) and its sessions are
 * terminated on the server at random. Every acknowledged write must exist exactly once, with its audit row.
 */

const WRITES = 40
const WORKERS = 4
const environment = testEnvironment()

let database: TestDatabase
let service: ServiceProcess
let url = ''

beforeAll(async () => {
  database = await createTestDatabase()
  await start()
  await call('/tenants', { id: 'acme' }, 'tenant')
}, 60_000)
afterAll(async () => {
  await service.kill()
  await database.drop()
})

async function start(): Promise<void> {
  service = startProcess({ ...environment, DATABASE_URL: database.applicationUrl })
  url = (await service.ready(30_000)).admin
}

const call = (path: string, body: object, key: string) =>
  request(`${url}/admin/v1${path}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${environment.MINTMARK_ROOT_TOKEN}`,
      'content-type': 'application/json',
      'idempotency-key': key,
    },
    body: JSON.stringify(body),
  })

const endSessions = () =>
  database.asOwner(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE 'mintmark%'",
    [database.name],
  )

it('keeps every acknowledged write exactly once, with its audit row', async () => {
  const acknowledged = new Map<string, string>()
  let attempts = 0
  const write = async (name: string) => {
    const answer = await until(
      `${name} is acknowledged`,
      () => {
        attempts++
        return call('/tenants/acme/keys', { name }, name)
      },
      ({ status }) => status < 300,
      60_000,
    )
    acknowledged.set(name, answer.body.id)
  }
  const names = Array.from({ length: WRITES }, (_, index) => `write-${index}`)
  const waiting = [...names]
  const worker = async () => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) await write(name)
  }
  let faults = 0
  let next = 6
  const disturb = async () => {
    while (acknowledged.size < WRITES) {
      await until('some more are written', () => acknowledged.size >= Math.min(next, WRITES), Boolean, 60_000)
      if (acknowledged.size >= WRITES) return
      next = acknowledged.size + 6 + Math.floor(Math.random() * 4)
      faults++
      if (faults % 2 === 0) await endSessions()
      else {
        await service.kill()
        await start()
      }
    }
  }
  await Promise.all([...Array.from({ length: WORKERS }, worker), disturb()])

  const kept = await database.asOwner<{ id: string; name: string; audits: number }>(
    `SELECT k.id, k.name, (SELECT count(*)::int FROM audit_events AS a
       WHERE a.target_id = k.id AND a.action = 'key.create') AS audits
     FROM api_keys AS k WHERE k.tenant_id = 'acme'`,
  )
  expect(kept).toHaveLength(WRITES)
  expect(new Map(kept.map(({ name, id }) => [name, id]))).toEqual(acknowledged)
  expect(kept.filter(({ audits }) => audits !== 1)).toEqual([])
  const [audits] = await database.asOwner<{ count: number }>(
    "SELECT count(*)::int AS count FROM audit_events WHERE action = 'key.create'",
  )
  expect(audits?.count).toBe(WRITES)
  expect(faults).toBeGreaterThan(3)
  console.info(`${WRITES} writes in ${attempts} attempts, with ${faults} faults`)
}, 180_000)
