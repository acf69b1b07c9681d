import { afterAll, beforeAll, expect, it } from 'vitest'
import { migrate } from '../../src/database/migrate.ts'
import { issue } from '../admin/admins.ts'
import { startTestService, type TestService } from '../support/test-service.ts'

/** "mintmark migrate" fills in who created the keys and secrets of an older version. */

let mintmark: TestService
beforeAll(async () => {
  mintmark = await startTestService()
})
afterAll(() => mintmark.stop())

const stored = async () => ({
  keys: await mintmark.database.asOwner('SELECT id, created_by FROM api_keys ORDER BY seq'),
  secrets: await mintmark.database.asOwner(
    'SELECT id, created_by, by_rotation FROM api_key_secrets ORDER BY seq',
  ),
})
/** As the version without creators left them. */
const forget = async (where = 'true') => {
  await mintmark.database.asOwner(`UPDATE api_keys SET created_by = NULL WHERE ${where}`)
  await mintmark.database.asOwner(
    `UPDATE api_key_secrets SET created_by = NULL, by_rotation = false WHERE ${where}`,
  )
}

it('fills in creators from the audit trail, in parts, and overwrites none', async () => {
  const owner = await issue(mintmark, 'owner')
  await owner.call('POST', '/tenants', { id: 'acme' })
  const { body: key } = await owner.call('POST', '/tenants/acme/keys', {})
  await mintmark.admin('POST', `/keys/${key.id}/rotate`, {})
  const client = { client_id: 'old', tenant: 'acme', scheme: 'sha256', hash: 'b'.repeat(64) }
  await owner.call('POST', '/imported-clients', { clients: [client] })
  // More rows than one part reads, between the older and the newer keys.
  for (let count = 0; count < 3; count++) {
    const clients = Array.from({ length: 250 }, (_, index) => ({
      ...client,
      client_id: `c-${count}-${index}`,
    }))
    await mintmark.admin('POST', '/imported-clients', { clients })
  }
  await mintmark.admin('POST', '/tenants/acme/keys', {})
  const before = await stored()
  await forget()
  await mintmark.database.asOwner("UPDATE api_keys SET created_by = 'kept' WHERE id = $1", [key.id])
  await migrate(mintmark.database.ownerUrl)
  const after = await stored()
  expect(after.secrets).toEqual(before.secrets)
  expect(after.keys).toEqual(
    before.keys.map(row => (row.id === key.id ? { ...row, created_by: 'kept' } : row)),
  )
})

it('continues where it ended: with what an older replica made after the migration', async () => {
  await migrate(mintmark.database.ownerUrl)
  const { body: key } = await mintmark.admin('POST', '/tenants/acme/keys', {})
  const before = await stored()
  await forget(`created_at >= (SELECT created_at FROM api_keys WHERE id = '${key.id}')`)
  expect(await stored()).not.toEqual(before)
  await migrate(mintmark.database.ownerUrl)
  expect(await stored()).toEqual(before)
  const [fill] = await mintmark.database.asOwner(
    'SELECT fill.audit_id = counter.audit_id AS at_end FROM maker_fill AS fill, change_counter AS counter',
  )
  expect(fill).toEqual({ at_end: true })
})

it('leaves those unknown that the trail does not name', async () => {
  await mintmark.database.asOwner(
    "INSERT INTO api_keys (id, tenant_id, name, scopes) VALUES ('key_0000000000000000', 'acme', '', '{inference}')",
  )
  await migrate(mintmark.database.ownerUrl)
  expect((await mintmark.admin('GET', '/keys/key_0000000000000000')).body.created_by).toBeNull()
})
