import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readHeader } from '../../src/snapshots/sealed-file.ts'
import type { SnapshotHeader } from '../../src/snapshots/snapshot.ts'
import { mintmark } from '../cli/mintmark.ts'
import { caughtUp } from '../support/caught-up.ts'
import { startReplica } from '../support/replicas.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

/**
 * Single tables are put back to an older state, and the audit trail continues. What cannot be taken back stays refused, by
 * the memory of a snapshot.
 */
const snapshots = mkdtempSync(join(tmpdir(), 'mintmark-tables-'))
const TABLES = ['api_keys', 'api_key_secrets', 'admin_tokens'] as const
let first: TestService
let second: TestService
let adminToken: { id: string; secret: string }
let keys: Record<
  'revoked' | 'rotated' | 'resumed' | 'live',
  { keyId: string; secret: string; tenantId: string }
>

const exchange = async (service: TestService, secret: string) =>
  (await service.token({ grant_type: 'client_credentials', client_secret: secret })).status
const asAdmin = async (service: TestService) => {
  const headers = { authorization: `Bearer ${adminToken.secret}` }
  return (await request(`${service.service.urls.admin}/admin/v1/tenants`, { headers })).status
}
const all = async (service: TestService) => [
  await exchange(service, keys.revoked.secret),
  await exchange(service, keys.rotated.secret),
  await asAdmin(service),
  await exchange(service, keys.resumed.secret),
  await exchange(service, keys.live.secret),
]
const readyz = async (service: TestService) => (await request(`${service.service.urls.ops}/readyz`)).body
const owner = (statement: string) => first.database.asOwner(statement)

beforeAll(async () => {
  first = await startTestService({ env: { MINTMARK_SNAPSHOT_DIR: snapshots } })
  keys = {
    revoked: await first.tenantWithKey(),
    rotated: await first.tenantWithKey(),
    resumed: await first.tenantWithKey(),
    live: await first.tenantWithKey(),
  }
  adminToken = (await first.admin('POST', '/admin-tokens', { name: 'old', role: 'auditor' })).body
  for (const table of TABLES) await owner(`CREATE TABLE old_${table} AS SELECT * FROM ${table}`)
  await first.admin('POST', `/keys/${keys.revoked.keyId}/revoke`, { reason: 'leaked' })
  await first.admin('POST', `/keys/${keys.rotated.keyId}/rotate`, { overlap_seconds: 0 })
  await first.admin('POST', `/tenants/${keys.resumed.tenantId}/suspend`)
  await first.admin('POST', `/admin-tokens/${adminToken.id}/revoke`, { reason: 'left' })
  await caughtUp(first)
  const { position } = first.service.changes
  await until(
    'a snapshot of the last change',
    () => {
      const names = readdirSync(snapshots).filter(name => name.endsWith('.snapshot'))
      return Promise.all(names.map(name => readHeader<SnapshotHeader>(join(snapshots, name))))
    },
    headers => headers.some(header => header.position.number === position),
  )
  await first.service.stop()
})
afterAll(async () => {
  await second?.service.stop()
  await first.database.drop()
  rmSync(snapshots, { recursive: true })
})

describe('tables that are restored alone', () => {
  it('bring nothing back that cannot be taken back, and it is said', async () => {
    // It is resumed while no replica remembers it as resumed.
    const other = await startReplica(first)
    await other.admin('POST', `/tenants/${keys.resumed.tenantId}/resume`)
    expect(await all(other)).toEqual([401, 401, 401, 200, 200])
    await other.service.stop()

    for (const table of TABLES) {
      const columns = await first.database.asOwner<{ name: string }>(
        `SELECT attname AS name FROM pg_attribute WHERE attrelid = '${table}'::regclass AND attnum > 0
           AND NOT attisdropped AND attgenerated = '' AND attidentity = ''`,
      )
      const set = columns.map(({ name }) => `${name} = old.${name}`).join(', ')
      await owner(`UPDATE ${table} AS now SET ${set} FROM old_${table} AS old WHERE now.id = old.id`)
    }

    second = await startReplica(first, { MINTMARK_SNAPSHOT_DIR: snapshots })
    expect(await all(second)).toEqual([401, 401, 401, 200, 200])
    await until(
      'readyz says it',
      () => readyz(second),
      ({ warning }) => /restored to an older state/.test(warning ?? ''),
    )
    const status = await mintmark(['restore', 'status'], { env: second.environment })
    expect(status.stdout).toContain('3 objects are refused although they are usable again in the database')
    expect(status.stdout).toContain('only single tables were restored')
  })

  it('are reconciled as a whole database is', async () => {
    const done = await mintmark(['restore', 'reconcile', '--apply'], { env: second.environment })
    expect(done.code, done.stderr).toBe(0)
    await until(
      'the warning ends',
      () => readyz(second),
      ({ warning }) => warning === undefined,
    )
    const other = await startReplica(first)
    expect(await all(other)).toEqual([401, 401, 401, 200, 200])
    await other.service.stop()
    const verified = await mintmark(['audit', 'verify'], { env: second.environment })
    expect(verified.code, verified.stderr).toBe(0)
  })
})
