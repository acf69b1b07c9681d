import { createHash, randomBytes } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readConfig } from '../../src/config/config.ts'
import { Env } from '../../src/config/env.ts'
import { Database } from '../../src/database/database.ts'
import { RowSealing } from '../../src/service/row-sealing.ts'
import { generateSigningKey } from '../../src/signing-keys/signing-key.ts'
import { createLogger } from '../../src/system/logger.ts'
import { PATIENT } from '../support/patient.ts'
import { startReplica } from '../support/replicas.ts'
import { asOwnerUnchecked } from '../support/sealed-rows.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { mintmark } from './mintmark.ts'

/** The upgrade from a version without seals: migrate, seal, replace the replicas. */
let old: TestService
let kids: string[]
let forged: Record<'kid' | 'unproven' | 'sealed' | 'revoked', string>
const client = { client_id: 'legacy', tenant: 'acme', scheme: 'sha256', hash: sha256('chosen') }
const ended = { ...client, client_id: 'ended' }

function sha256(secret: string) {
  return createHash('sha256').update(secret).digest('hex')
}

beforeAll(async () => {
  old = await startTestService()
  const addTenant = () => old.admin('POST', '/tenants', { id: 'acme' })
  await until('the tenant exists', addTenant, ({ status }) => status === 201 || status === 409)
  const importClient = () => old.admin('POST', '/imported-clients', { clients: [client, ended] })
  const { body } = await until('the clients are imported', importClient, ({ status }) => status === 200)
  const endedKey = body.rows[1].key
  const revokeKey = () => old.admin('POST', `/keys/${endedKey}/revoke`)
  await until('the key is revoked', revokeKey, ({ status }) => status === 200)
  const [standby] = await old.database.asOwner("SELECT * FROM signing_keys WHERE state = 'standby'")
  const revokeStandby = () => old.admin('POST', `/signing-keys/${standby?.kid}/revoke`, { reason: 'leaked' })
  await until('the standby is revoked', revokeStandby, ({ status }) => status === 200)
  kids = await jwksOf(old)
  // This one knows seals, and would make other keys.
  await old.service.stop()
  // As the version before wrote them.
  await asOwnerUnchecked(old.database, 'UPDATE signing_keys SET sealed_with = NULL, seal = NULL')
  await asOwnerUnchecked(old.database, 'UPDATE api_key_secrets SET sealed_with = NULL, seal = NULL')
  const [one, other] = [await generateSigningKey('ES256'), await generateSigningKey('ES256')]
  forged = { kid: 'not-a-thumbprint', unproven: one.kid, sealed: other.kid, revoked: standby?.kid }
  const insert = (kid: string, jwk: object, seal: Buffer | null) =>
    asOwnerUnchecked(
      old.database,
      `INSERT INTO signing_keys (kid, alg, state, public_jwk, retires_at, sealed_with, seal)
        VALUES ($1, 'ES256', 'retiring', $2, now() + interval '1 day', $3, $4)`,
      [kid, JSON.stringify(jwk), seal && 'v1:e1:p1', seal],
    )
  await insert(forged.kid, { ...one.publicJwk, kid: forged.kid }, null)
  await insert(forged.unproven, one.publicJwk, null)
  // The application's role can add to the audit trail.
  const trail = new pg.Client({ connectionString: old.database.applicationUrl })
  await trail.connect()
  await trail.query(
    `INSERT INTO audit_events (id, at, actor, action, outcome, target_kind, target_id, changes, previous_hash, hash)
      SELECT max(id) + 1000000, now(), 'system', 'signing-key.create', 'done', 'signing-key', $1, '{}', $2, $2 FROM audit_events`,
    [forged.unproven, randomBytes(32)],
  )
  await trail.end()
  // What was revoked is put back as it was.
  await asOwnerUnchecked(
    old.database,
    `UPDATE signing_keys SET state = 'standby', removed_at = NULL, revoked_at = NULL, revoked_reason = NULL,
      private_encrypted = $2, encryption_key_id = 'e1', activates_at = $3 WHERE kid = $1`,
    [forged.revoked, standby?.private_encrypted, standby?.activates_at],
  )
  await asOwnerUnchecked(old.database, 'UPDATE api_keys SET revoked_at = NULL, revoked_reason = NULL')
  await asOwnerUnchecked(old.database, 'UPDATE api_key_secrets SET revoked_at = NULL')
  await insert(forged.sealed, other.publicJwk, randomBytes(32))
  await old.database.asOwner('UPDATE sealed_since SET audit_id = (SELECT max(id) FROM audit_events)')
})
afterAll(() => old.stop())

const jwksOf = async ({ service }: TestService): Promise<string[]> =>
  (await request(`${service.urls.public}/.well-known/jwks.json`)).body.keys.map(
    ({ kid }: { kid: string }) => kid,
  )
const seal = (args: string[], env: Record<string, string> = {}) => {
  const { MINTMARK_ENCRYPTION_KEYS = '', MINTMARK_PEPPERS = '', DATABASE_URL = '' } = old.environment
  return mintmark(['seal', ...args], {
    env: { MINTMARK_ENCRYPTION_KEYS, MINTMARK_PEPPERS, DATABASE_URL, ...env },
  })
}

describe('the upgrade', () => {
  it.each([
    ['a signing key', "UPDATE signing_keys SET held = true WHERE state = 'active'"],
    ['an imported secret', "UPDATE api_key_secrets SET ends_at = now() WHERE client_id = 'legacy'"],
  ])('an older version cannot change %s, and is answered as when a lock is held', async (_, statement) => {
    const role = new pg.Client({ connectionString: old.database.applicationUrl })
    await role.connect()
    await expect(role.query(statement)).rejects.toMatchObject({ code: '55P03' })
    await role.query("UPDATE api_key_secrets SET last_used_at = now() WHERE client_id = 'legacy'")
    await role.end()
  })

  it('a new replica makes no key instead of unsealed ones: it is unready, and names the command', async () => {
    const { database, environment: env } = old
    const unready = await startTestService({ database, env, awaitReady: false })
    const reason = async () => (await request(`${unready.service.urls.ops}/readyz`)).body.reason
    await until('it gives the reason', reason, text =>
      /No signing key in the database has a valid seal/.test(text),
    )
    expect((await request(`${unready.service.urls.public}/.well-known/jwks.json`)).status).toBe(503)
    await unready.stop()
    const made = await database.asOwner("SELECT FROM audit_events WHERE action = 'signing-key.create'")
    expect(made).toHaveLength(4)
  })

  it('seal only lists the rows, with the thumbprints, and names what it refuses', async () => {
    const { code, stdout, stderr } = await seal([])
    expect(code).toBe(3)
    for (const kid of [...kids, ...Object.values(forged)]) expect(stdout).toContain(kid)
    expect(stdout).toContain('sha256 of legacy')
    expect(stderr).toContain('Nothing was sealed.')
    expect(stderr).toContain(`${forged.kid}: its kid is not the RFC 7638 thumbprint of its public key.`)
    expect(stderr).toContain(`${forged.unproven}: it has no private key, which would prove that Mintmark`)
    expect(stderr).toContain(
      `${forged.revoked}: according to the audit trail it was revoked: its row was put back`,
    )
    expect(stderr).toContain(`${forged.sealed}: its seal is not valid (wrong_seal)`)
    const sealed = await old.database.asOwner('SELECT FROM signing_keys WHERE seal IS NOT NULL')
    expect(sealed).toHaveLength(1)
  })

  it.each([
    ['another encryption key', 'MINTMARK_ENCRYPTION_KEYS', 'e1'],
    ['another pepper', 'MINTMARK_PEPPERS', 'p1'],
  ])('seal refuses to work with %s than the replicas have', async (_, variable, id) => {
    const other = { [variable]: `${id}:${randomBytes(32).toString('base64url')}` }
    const { code, stderr } = await seal(['--yes'], other)
    expect(code).not.toBe(0)
    expect(stderr).toContain(`${variable} must begin with "${id}"`)
  })

  it('seals no row that changed since it was listed, and with --expect none at all', async () => {
    const { encryptionKeys, peppers } = readConfig(new Env(old.environment))
    const database = new Database({
      url: old.database.ownerUrl,
      maxConnections: 1,
      logger: createLogger('silent'),
      timeouts: PATIENT,
    })
    const secrets = { encryptionKeys, peppers }
    const sealing = new RowSealing({ database, secrets, acceptUnproven: false })
    const digest = (stderr: string) => /--expect (\w+)/.exec(stderr)?.[1] ?? ''
    const expected = digest((await seal([])).stderr)
    const listed = await sealing.survey()
    const later = (sign: string) =>
      asOwnerUnchecked(
        old.database,
        `UPDATE signing_keys SET activates_at = activates_at ${sign} interval '1 hour'`,
      )
    const hash = (secret: string) =>
      asOwnerUnchecked(old.database, 'UPDATE api_key_secrets SET hash = $1', [sha256(secret)])
    await later('+')
    await hash('of the attacker')
    expect(await sealing.seal({ id: 'owner' }, listed)).toBe(0)
    await database.close()
    const { code, stderr } = await seal(['--yes', '--expect', expected])
    expect([code, stderr]).toEqual([3, expect.stringContaining('Nothing was sealed: the rows differ')])
    await later('-')
    await hash('chosen')
    expect(digest((await seal([])).stderr)).toBe(expected)
  })

  it('with --yes it seals the genuine rows, each with an audit row, and a new replica serves the same JWKS', async () => {
    const { code, stderr } = await seal(['--yes'])
    expect([code, stderr]).toEqual([3, expect.stringContaining('Sealed 4 rows.')])
    const actions = await old.database.asOwner(
      'SELECT action, target_id FROM audit_events WHERE action LIKE \'%.seal\' ORDER BY action, target_id COLLATE "C"',
    )
    expect(actions.map(({ action }) => action)).toEqual([
      'key.seal',
      'key.seal',
      'signing-key.seal',
      'signing-key.seal',
    ])
    const next = await startReplica(old)
    expect(await jwksOf(next)).toEqual(kids)
    const form = { grant_type: 'client_credentials', client_id: 'legacy', client_secret: 'chosen' }
    expect((await next.token(form)).status).toBe(200)
    // Its key was revoked, by the audit trail: its end is sealed.
    expect((await next.token({ ...form, client_id: 'ended' })).status).toBe(401)
    await next.stop()
  })

  it('a row without proof is sealed only on demand, the others never', async () => {
    const { stdout } = await seal(['--yes', '--accept-unproven', '-q'])
    expect(stdout.split('\n')).toContain(forged.unproven)
    const left = await old.database.asOwner(
      'SELECT kid FROM signing_keys WHERE seal IS NULL OR length(seal) <> 32',
    )
    expect(left.map(({ kid }) => kid).toSorted()).toEqual([forged.kid, forged.revoked].toSorted())
  })
})

describe('a row that was sealed', () => {
  it.each([
    ['a signing key', "UPDATE signing_keys SET seal = NULL, sealed_with = NULL WHERE state = 'active'"],
    ['a signing key, in part', "UPDATE signing_keys SET sealed_with = NULL WHERE state = 'active'"],
    [
      'an imported secret',
      "UPDATE api_key_secrets SET seal = NULL, sealed_with = NULL WHERE client_id = 'legacy'",
    ],
    ['an imported secret, in part', "UPDATE api_key_secrets SET seal = NULL WHERE client_id = 'legacy'"],
  ])('keeps its seal from the role of the application: %s', async (_, statement) => {
    const role = new pg.Client({ connectionString: old.database.applicationUrl })
    await role.connect()
    await expect(role.query(statement)).rejects.toThrow(/^the seal of a row of \w+ cannot be removed$/)
    await role.end()
  })

  it('is not sealed again once its seal was removed, and is refused with the way out', async () => {
    const [kid = ''] = kids
    await asOwnerUnchecked(
      old.database,
      'UPDATE signing_keys SET seal = NULL, sealed_with = NULL WHERE kid = $1',
      [kid],
    )
    const [secret] = await asOwnerUnchecked(
      old.database,
      `UPDATE api_key_secrets SET seal = NULL, sealed_with = NULL, hash = $1 WHERE client_id = 'legacy' RETURNING id`,
      [sha256('of the attacker')],
    )
    const { code, stderr } = await seal(['--yes', '--accept-unproven'])
    expect(code).toBe(3)
    expect(stderr).toContain(`${kid}: according to the audit trail it was sealed, and its seal was removed: `)
    expect(stderr).toContain('replace it with "mintmark signing-key revoke".')
    expect(stderr).toContain(
      `${secret?.id}: according to the audit trail it was sealed, and its seal was removed: `,
    )
    expect(stderr).toContain('revoke its key, and import the client again.')
    const left = await old.database.asOwner(
      `SELECT kid AS id FROM signing_keys WHERE seal IS NULL AND kid = $1
        UNION ALL SELECT id FROM api_key_secrets WHERE seal IS NULL AND client_id = 'legacy'`,
      [kid],
    )
    expect(left).toHaveLength(2)
  })
})
