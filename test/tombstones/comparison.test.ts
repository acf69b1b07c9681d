import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Database } from '../../src/database/database.ts'
import { Unavailable } from '../../src/errors.ts'
import { createLogger } from '../../src/system/logger.ts'
import { type Memory, nameOf, type Tombstone } from '../../src/tombstones/tombstone.ts'
import { readState } from '../../src/tombstones/tombstone-repository.ts'
import { Tombstones } from '../../src/tombstones/tombstones.ts'
import { PATIENT } from '../support/patient.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { startTestService, type TestService } from '../support/test-service.ts'

/** What memories of other states of the database say of a database that serves. */
let mintmark: TestService
let database: Database
let [one, other]: { keyId: string; tenantId: string }[] = []
let state: Awaited<ReturnType<typeof readState>>

beforeAll(async () => {
  mintmark = await startTestService()
  one = await mintmark.tenantWithKey({ id: 'one' })
  other = await mintmark.tenantWithKey({ id: 'other' })
  await mintmark.admin('POST', '/tenants/other/suspend')
  const url = mintmark.database.applicationUrl
  database = new Database({ url, maxConnections: 2, logger: createLogger('silent'), timeouts: PATIENT })
  state = await database.run(readState)
})
afterAll(async () => {
  await database.close()
  await mintmark.stop()
})

const ENDED_AT = 1_790_000_000_000
const tombstone = (kind: Tombstone['kind'], id: string, at = ENDED_AT): Tombstone => ({
  kind,
  id,
  owner: null,
  at,
})
const memory = (change: Partial<Memory>): Memory => ({
  mark: state.mark,
  installation: state.installation ?? '',
  seenAt: state.now,
  writer: 'test',
  ended: [],
  pending: [],
  ...change,
})
/** Beyond the head, or at the same position with another hash. */
const ahead = () => ({ id: state.mark.id + 5, hash: 'a'.repeat(64) })
const rewritten = () => ({ id: state.mark.id - 1, hash: 'b'.repeat(64) })

const withFiles = (memories: Memory[], writing = database) =>
  new Tombstones({
    reading: database,
    writing,
    logger: createLogger('silent'),
    writer: 'test',
    readFiles: async () => memories,
  })

async function compared(...memories: Memory[]): Promise<Tombstones> {
  const tombstones = withFiles(memories)
  await tombstones.remember()
  const apply = await tombstones.load()
  apply()
  return tombstones
}
const names = (tombstones: Tombstones) => tombstones.pendingTombstones.map(nameOf).toSorted()

describe('a database compared with memories', () => {
  it('continues one that it has: whatever that says is older than the database', async () => {
    const past = { id: state.mark.id - 1, hash: await hashOf(state.mark.id - 1) }
    const tombstones = await compared(memory({ mark: past, ended: [tombstone('tenant_suspended', 'one')] }))
    expect([tombstones.isUnreconciled, names(tombstones)]).toEqual([false, []])
    expect(tombstones.has('tenant_suspended', 'other')).toBe(true)
  })

  it('continues one in which something is usable whose end cannot be taken back: single tables were restored', async () => {
    const { keyId, secretId } = await mintmark.tenantWithKey()
    const ended = [
      tombstone('key_revoked', one?.keyId ?? ''),
      tombstone('tenant_suspended', 'one'),
      // One that was to end later may have got another end.
      tombstone('secret_ended', secretId, state.now + 60_000),
      tombstone('key_disabled', keyId),
    ]
    const tombstones = await compared(memory({ ended }))
    expect(tombstones.isUnreconciled).toBe(true)
    expect(names(tombstones)).toEqual([`key_revoked ${one?.keyId}`])
  })

  it.each([
    ['the memory knows more rows', ahead],
    ['a row was written again with other content', rewritten],
  ])('was restored: %s', async (_, mark) => {
    const ended = [tombstone('key_revoked', one?.keyId ?? ''), tombstone('tenant_suspended', 'other')]
    const tombstones = await compared(memory({ mark: mark(), ended }))
    expect(tombstones.isUnreconciled).toBe(true)
    // The other tenant is suspended in the database as well.
    expect(names(tombstones)).toEqual([`key_revoked ${one?.keyId}`])
  })

  it('takes what two memories of different moments know together, and what neither database has is left out', async () => {
    const tombstones = await compared(
      memory({ mark: ahead(), ended: [tombstone('key_revoked', one?.keyId ?? '')] }),
      memory({
        mark: { ...ahead(), id: ahead().id + 3 },
        ended: [
          tombstone('key_disabled', other?.keyId ?? ''),
          tombstone('key_revoked', 'key_0000000000000000'),
        ],
        pending: [tombstone('tenant_suspended', 'one')],
      }),
    )
    expect(names(tombstones)).toEqual([
      `key_disabled ${other?.keyId}`,
      `key_revoked ${one?.keyId}`,
      'tenant_suspended one',
    ])
    expect(tombstones.detected?.memory.mark.id).toBe(ahead().id + 3)
  })

  it('takes the end of a secret from the newest memory that has it, in whatever order they are read', async () => {
    const { keyId, secretId } = await mintmark.tenantWithKey()
    await mintmark.admin('POST', `/keys/${keyId}/rotate`, { overlap_seconds: 86_400 })
    const [secret] = await mintmark.database.asOwner<{ at: number }>(
      'SELECT floor(extract(epoch FROM ends_at) * 1000)::float8 AS at FROM api_key_secrets WHERE id = $1',
      [secretId],
    )
    // Revoked after an older snapshot was written, in which it ends tomorrow as in the restored database.
    const older = memory({ mark: ahead(), ended: [tombstone('secret_ended', secretId, secret?.at)] })
    const newer = memory({
      mark: { ...ahead(), id: ahead().id + 3 },
      seenAt: state.now + 1,
      ended: [tombstone('secret_ended', secretId, state.now)],
    })
    for (const memories of [
      [newer, older],
      [older, newer],
    ]) {
      const tombstones = await compared(...memories)
      expect(names(tombstones)).toEqual([`secret_ended ${secretId}`])
      expect(tombstones.endOf('secret_ended', secretId)).toBe(state.now)
    }
  })

  it('continues one of a row that retention deleted', async () => {
    const [row] = await mintmark.database.asOwner<{ cut: string }>(
      'SELECT audit_cut_id AS cut FROM change_counter',
    )
    await mintmark.database.asOwner('UPDATE change_counter SET audit_cut_id = audit_id')
    const mark = { id: state.mark.id - 1, hash: await hashOf(state.mark.id - 1) }
    await mintmark.database.asOwner('ALTER TABLE audit_events DISABLE TRIGGER append_only')
    const [deleted] = await mintmark.database.asOwner('DELETE FROM audit_events WHERE id = $1 RETURNING id', [
      mark.id,
    ])
    expect(deleted).toBeDefined()
    const ended = [tombstone('tenant_suspended', 'one')]
    expect((await compared(memory({ mark, ended }))).isUnreconciled).toBe(false)
    await mintmark.database.asOwner('UPDATE change_counter SET audit_cut_id = $1', [row?.cut])
    expect((await compared(memory({ mark, ended }))).isUnreconciled).toBe(true)
  })

  it('is nothing to one of another installation', async () => {
    const ended = [tombstone('key_revoked', one?.keyId ?? '')]
    const tombstones = await compared(memory({ mark: ahead(), installation: 'another', ended }))
    expect(tombstones.isUnreconciled).toBe(false)
  })

  it('refuses at once what cannot be taken back, before the database was read', async () => {
    const ended = [tombstone('signing_key_revoked', 'kid'), tombstone('tenant_suspended', 'one')]
    const tombstones = withFiles([memory({ mark: ahead(), ended })])
    await tombstones.remember()
    expect(tombstones.has('signing_key_revoked', 'kid')).toBe(true)
    expect(tombstones.has('tenant_suspended', 'one')).toBe(false)
  })

  it('asks the snapshots again when it reloads: the process that knew most may have ended', async () => {
    const memories: Memory[] = []
    const tombstones = withFiles(memories)
    ;(await tombstones.load())()
    expect(tombstones.isUnreconciled).toBe(false)
    memories.push(memory({ mark: ahead(), ended: [tombstone('key_revoked', one?.keyId ?? '')] }))
    ;(await tombstones.load())()
    expect(names(tombstones)).toEqual([`key_revoked ${one?.keyId}`])
  })

  it('has noticed a restore until that is stored, also when the database cannot be written', async () => {
    const proxy = await TcpProxy.before(mintmark.database.applicationUrl)
    const logger = createLogger('silent')
    const writing = new Database({ url: proxy.url, maxConnections: 1, logger, timeouts: PATIENT })
    const ended = [tombstone('key_revoked', one?.keyId ?? '')]
    const tombstones = withFiles([memory({ mark: ahead(), ended })], writing)
    await tombstones.remember()
    ;(await tombstones.load())()
    await proxy.become('refuse')
    await expect(tombstones.store()).rejects.toThrow(Unavailable)
    expect(tombstones.detected?.memory.mark).toEqual(ahead())
    expect(await stored()).toBe(0)
    await proxy.become('none')
    await tombstones.store()
    expect(tombstones.detected).toBeUndefined()
    expect(await stored()).toBe(1)
    await writing.close()
    await proxy.close()
    await mintmark.database.asOwner('DELETE FROM tombstones; DELETE FROM restores')
  })

  it('keeps a waiver: an old memory brings up the same end no more, and a later end of the same object is another', async () => {
    const first = await compared(memory({ mark: ahead(), ended: [tombstone('tenant_suspended', 'one')] }))
    await first.store()
    await mintmark.database.asOwner(
      "UPDATE tombstones SET state = 'waived' WHERE id = 'one'; UPDATE restores SET reconciled_at = now()",
    )
    const old = memory({
      mark: ahead(),
      seenAt: state.now - 1,
      ended: [tombstone('tenant_suspended', 'one')],
    })
    const again = await compared(old)
    expect([again.isUnreconciled, names(again)]).toEqual([false, []])
    const later = await compared({ ...old, ended: [tombstone('tenant_suspended', 'one', ENDED_AT + 1)] })
    expect([later.isUnreconciled, names(later)]).toEqual([true, ['tenant_suspended one']])
  })
})

async function stored(): Promise<number> {
  const [row] = await mintmark.database.asOwner<{ count: number }>(
    'SELECT count(*)::int AS count FROM restores',
  )
  return row?.count ?? 0
}

async function hashOf(id: number): Promise<string> {
  const [row] = await mintmark.database.asOwner<{ hash: string }>(
    "SELECT encode(hash, 'hex') AS hash FROM audit_events WHERE id = $1",
    [id],
  )
  return row?.hash ?? ''
}
