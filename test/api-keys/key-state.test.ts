import fc from 'fast-check'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { adminTokenState } from '../../src/admin-tokens/admin-token.ts'
import { hasTokensOnPepper, insertAdminToken } from '../../src/admin-tokens/admin-token-repository.ts'
import { countKeys } from '../../src/api-keys/api-key-repository.ts'
import { countExpiring } from '../../src/api-keys/expiring-keys-repository.ts'
import { keyState, keyTerm, obstacleTo, secretState, usableSecrets } from '../../src/api-keys/key-state.ts'
import { hasSecretsOnPepper, secretsOnOtherPeppers } from '../../src/api-keys/pepper-use-repository.ts'
import { Database, type Handle } from '../../src/database/database.ts'
import { keyPage, lookUpSecrets } from '../../src/directory/directory-repository.ts'
import { readKeyStatuses } from '../../src/directory/key-status-repository.ts'
import { RowSeals } from '../../src/installation/row-seals.ts'
import { createLogger } from '../../src/system/logger.ts'
import { insertTenant, setSuspended } from '../../src/tenants/tenant-repository.ts'
import { defaultTenantSettings } from '../../src/tenants/tenant-settings.ts'
import { PATIENT } from '../support/patient.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'

const seals = new RowSeals({ encryptionKeys: [], peppers: [] })
const NOW = 1_800_000_000_000
const UNENDING = { revoked: false, endsAt: null, disabled: false }
const endAt = (offset: number | null) => (offset === null ? null : NOW + offset)

describe('the state of', () => {
  it.each([
    ['active', false, null, false],
    ['active', false, 1, false],
    ['expired', false, 0, false],
    ['expired', false, -1, true],
    ['disabled', false, 1, true],
    ['revoked', true, -1, true],
    ['revoked', true, null, false],
  ] as const)(
    'a key is %s when it is revoked: %s, ends in %s ms and is disabled: %s',
    (state, revoked, ends, disabled) => {
      expect(keyState({ revoked, endsAt: endAt(ends), disabled }, NOW)).toBe(state)
    },
  )
  it.each([
    ['live', false, null],
    ['ending', false, 1],
    ['ended', false, 0],
    ['revoked', true, null],
    ['revoked', true, 1],
  ] as const)('a secret is %s when it is revoked: %s and ends in %s ms', (state, revoked, ends) => {
    expect(secretState({ revoked, endsAt: endAt(ends) }, UNENDING, NOW)).toBe(state)
  })
  it.each([
    ['a revoked key is revoked', { ...UNENDING, revoked: true }, 'revoked'],
    ['an expired key is ended', { ...UNENDING, endsAt: NOW }, 'ended'],
    ['a disabled key is live', { ...UNENDING, disabled: true }, 'live'],
  ] as const)('a live secret of %s', (_, key, state) => {
    expect(secretState({ revoked: false, endsAt: null }, key, NOW)).toBe(state)
  })
  it('a record is determined by its dates', () => {
    const at = new Date(NOW)
    expect(keyTerm({ revokedAt: null, expiresAt: null, disabledAt: null })).toEqual(UNENDING)
    expect(keyTerm({ revokedAt: at, expiresAt: at, disabledAt: at })).toEqual({
      revoked: true,
      endsAt: NOW,
      disabled: true,
    })
  })
})

it.each([
  ['key_revoked', { revoked: true, endsAt: NOW, disabled: true }, { revoked: true, endsAt: NOW }],
  ['secret_revoked', { revoked: false, endsAt: NOW, disabled: true }, { revoked: true, endsAt: NOW }],
  ['key_expired', { revoked: false, endsAt: NOW, disabled: true }, { revoked: false, endsAt: NOW }],
  ['secret_ended', { ...UNENDING, disabled: true }, { revoked: false, endsAt: NOW }],
  ['tenant_suspended', { ...UNENDING, disabled: true }, { revoked: false, endsAt: null }],
] as const)('%s is the most severe of all that prevents an exchange', (obstacle, key, secret) => {
  expect(obstacleTo(secret, key, { suspended: true }, NOW)).toBe(obstacle)
})

it('the usable secrets are the live and the ending ones, oldest first', () => {
  const at = (offset: number | null) => (offset === null ? null : new Date(NOW + offset))
  const secrets = [
    ['d', null, null],
    ['c', null, 5],
    ['b', null, -5],
    ['a', -1, null],
  ] as const
  const key = {
    revokedAt: null,
    expiresAt: null,
    disabledAt: null,
    secrets: secrets.map(([name, revoked, ends]) => ({
      id: name,
      revokedAt: at(revoked),
      endsAt: at(ends),
      createdBy: null,
      createdAt: new Date(NOW),
      lastUsedAt: null,
      confirmBy: null,
      imported: null,
    })),
  }
  expect(usableSecrets(key, NOW).map(usable => usable.id)).toEqual(['c', 'd'])
})

/**
 * Ends around the current instant, and around the second that an exchange needs; null: none. In milliseconds from now.
 */
const ENDS = [null, -86_400_000, -1, 0, 1, 999, 1000, 1001, 86_400_000] as const
const DAY_MS = 86_400_000

interface Case {
  revoked: boolean
  ends: number | null
  disabled: boolean
  suspended: boolean
  secretRevoked: boolean
  secretEnds: number | null
}

/** Every combination of the above, and as many with random ends within two months. */
function cases(): Case[] {
  const both = [false, true]
  const combined = both.flatMap(revoked =>
    both.flatMap(disabled =>
      both.flatMap(suspended =>
        both.flatMap(secretRevoked =>
          ENDS.flatMap(ends =>
            ENDS.map(secretEnds => ({ revoked, ends, disabled, suspended, secretRevoked, secretEnds })),
          ),
        ),
      ),
    ),
  )
  const anywhere = fc.option(fc.integer({ min: -30 * DAY_MS, max: 60 * DAY_MS }))
  const any = fc.record<Case>({
    revoked: fc.boolean(),
    ends: anywhere,
    disabled: fc.boolean(),
    suspended: fc.boolean(),
    secretRevoked: fc.boolean(),
    secretEnds: anywhere,
  })
  return [...combined, ...fc.sample(any, 1000)]
}

describe('SQL and TypeScript agree on', () => {
  const made = cases().map((each, index) => ({
    ...each,
    id: `key_${String(index).padStart(16, '0')}`,
    secretId: `sec_${String(index).padStart(16, '0')}`,
    digest: Buffer.alloc(32, `${index}.`),
  }))
  type Made = (typeof made)[number]
  const end = (now: number, offset: number | null) => (offset === null ? null : now + offset)
  const termOf = ({ revoked, ends, disabled }: Made, now: number) => ({
    revoked,
    endsAt: end(now, ends),
    disabled,
  })
  const secretTermOf = ({ secretRevoked, secretEnds }: Made, now: number) => ({
    revoked: secretRevoked,
    endsAt: end(now, secretEnds),
  })
  const lasts = (each: Made, now: number) => ['active', 'disabled'].includes(keyState(termOf(each, now), now))
  const opens = (each: Made, now: number) =>
    ['live', 'ending'].includes(secretState(secretTermOf(each, now), termOf(each, now), now))

  const inParts = <T>(rows: readonly T[]) =>
    Array.from({ length: Math.ceil(rows.length / 500) }, (_, part) =>
      rows.slice(part * 500, part * 500 + 500),
    )

  let database: Database
  let home: TestDatabase
  beforeAll(async () => {
    home = await createTestDatabase()
    database = new Database({
      url: home.applicationUrl,
      maxConnections: 1,
      logger: createLogger('silent'),
      timeouts: PATIENT,
    })
  })
  afterAll(async () => {
    await database.close()
    await home.drop()
  })

  /** In one transaction, with its now() equal to `now` to the millisecond, and the keys in it; rolled back. */
  async function withKeys(look: (trx: Handle, now: number) => Promise<void>): Promise<void> {
    const undone = new Error('undone')
    const work = database.write(async trx => {
      for (const id of ['resumed', 'suspended'])
        await insertTenant(trx, id, { ...defaultTenantSettings(id, 'vllm'), allowedTiers: ['standard'] })
      await setSuspended(trx, 'suspended', true)
      const now = await insertCases(trx)
      await look(trx, now)
      throw undone
    })
    await expect(work).rejects.toBe(undone)
  }

  async function insertCases(trx: Handle): Promise<number> {
    const { now } = await trx
      .selectNoFrom(eb => eb.fn<Date>('date_trunc', [eb.val('milliseconds'), eb.fn('now')]).as('now'))
      .executeTakeFirstOrThrow()
    // The instant to the microsecond, which a Date cannot express.
    const date = (offset: number | null) =>
      offset === null ? null : offset === 0 ? sql<Date>`now()` : new Date(now.getTime() + offset)
    const keys = made.map(each => ({
      id: each.id,
      tenant_id: each.suspended ? 'suspended' : 'resumed',
      name: each.id,
      scopes: ['inference'],
      expires_at: date(each.ends),
      disabled_at: each.disabled ? now : null,
      revoked_at: each.revoked ? now : null,
    }))
    const secrets = made.map(each => ({
      id: each.secretId,
      key_id: each.id,
      digest: each.digest,
      pepper_id: 'old',
      ends_at: date(each.secretEnds),
      revoked_at: each.secretRevoked ? now : null,
    }))
    for (const rows of inParts(keys)) await trx.insertInto('api_keys').values(rows).execute()
    for (const rows of inParts(secrets)) await trx.insertInto('api_key_secrets').values(rows).execute()
    return now.getTime()
  }

  it('the keys that the directory loads, and the secrets of each', async () => {
    await withKeys(async (trx, now) => {
      const { items } = await keyPage(trx, seals, { after: '0', upTo: null, limit: 10_000 })
      const loaded = new Map(items.map(key => [key.id, key.secrets.length > 0]))
      const expected = made.filter(each => lasts(each, now)).map(each => [each.id, opens(each, now)] as const)
      expect(loaded).toEqual(new Map(expected))
    })
  })

  it('the exchangeability of a secret that is looked up', async () => {
    await withKeys(async (trx, now) => {
      const names = new Map(made.map(each => [each.digest.toString('base64'), each]))
      const found = []
      for (const part of inParts([...names.keys()]))
        found.push(...(await lookUpSecrets(trx, seals, part, 300)).found)
      expect(found).toHaveLength(made.length)
      for (const { digest, snapshot: shown } of found) {
        const each = names.get(digest)
        if (!each) return expect.fail(digest)
        const secret = { revoked: shown.secretRevoked, endsAt: shown.secretEndsAt }
        const key = { revoked: shown.keyRevoked, endsAt: shown.keyExpiresAt, disabled: shown.keyDisabled }
        const obstacle = obstacleTo(secret, key, { suspended: shown.tenantSuspended }, now)
        const { suspended } = each
        expect(obstacle).toBe(obstacleTo(secretTermOf(each, now), termOf(each, now), { suspended }, now))
        if (obstacle === undefined) expect(opens(each, now) && !each.disabled && !suspended).toBe(true)
      }
    })
  })

  it('the status of keys of issued tokens', async () => {
    await withKeys(async (trx, now) => {
      const keyStatuses = await readKeyStatuses(
        trx,
        made.map(({ id }) => id),
      )
      for (const each of made) {
        const state = keyState({ ...termOf(each, now), endsAt: null }, now)
        const expected =
          state === 'revoked'
            ? 'revoked'
            : each.suspended
              ? 'tenant_suspended'
              : state === 'disabled'
                ? 'key_disabled'
                : 'good'
        expect(keyStatuses.get(each.id)).toBe(expected)
      }
    })
  })

  it('the number of live keys of a tenant, and of those that end soon', async () => {
    await withKeys(async (trx, now) => {
      const own = made.filter(({ suspended }) => !suspended)
      const live = own.filter(each => lasts(each, now))
      expect(await countKeys(trx, 'resumed')).toEqual({ keys: own.length, liveKeys: live.length })
      const within = (days: number) =>
        made.filter(each => lasts(each, now) && each.ends !== null && each.ends <= days * DAY_MS).length
      const { in7Days, in30Days } = await countExpiring(trx)
      expect({ in7Days, in30Days }).toEqual({ in7Days: within(7), in30Days: within(30) })
    })
  })

  it('the number of secrets that need a pepper', async () => {
    await withKeys(async (trx, now) => {
      expect(await secretsOnOtherPeppers(trx, 'new')).toEqual({
        old: made.filter(each => opens(each, now)).length,
      })
      expect(await hasSecretsOnPepper(trx, 'old')).toBe(true)
      const closed = made.filter(each => !opens(each, now)).map(each => each.id)
      await trx.deleteFrom('api_keys').where('id', 'not in', closed).execute()
      expect(await hasSecretsOnPepper(trx, 'old')).toBe(false)
    })
  })

  it('whether an admin token needs its pepper', async () => {
    const tokens = ENDS.flatMap(ends => [false, true].map(revoked => ({ ends, revoked })))
    await withKeys(async (trx, now) => {
      for (const [index, { ends, revoked }] of tokens.entries()) {
        const id = `adm_${String(index).padStart(16, '0')}`
        const expiresAt = ends === null ? null : new Date(now + ends)
        const digest = Buffer.alloc(32, `${index}.`)
        const bound = {
          tenantId: null,
          audiences: null,
          createdBy: 'root',
          expiresAt,
          digest,
          pepperId: `pepper of ${id}`,
        }
        await insertAdminToken(trx, { id, name: 'a', role: 'auditor', ...bound })
        const revokedAt = revoked ? new Date(now) : null
        const set = { revoked_at: revokedAt, ...(ends === 0 && { expires_at: sql<Date>`now()` }) }
        await trx.updateTable('admin_tokens').set(set).where('id', '=', id).execute()
        const needed = adminTokenState({ revokedAt, expiresAt }, now) === 'active'
        expect(await hasTokensOnPepper(trx, bound.pepperId), `${ends} ${revoked}`).toBe(needed)
      }
    })
  })
})
