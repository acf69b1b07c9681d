import { createHash, randomBytes } from 'node:crypto'
import { decodeJwt, decodeProtectedHeader, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { IMPORTED_SECRET } from '../../src/api-keys/imported/imported-secret-seal.ts'
import { IDENTITY_PROVIDER, KEY_CREDENTIAL } from '../../src/identity-providers/identity-seals.ts'
import type { SealedKind } from '../../src/installation/row-seals.ts'
import { generateSigningKey } from '../../src/signing-keys/signing-key.ts'
import { SIGNING_KEY } from '../../src/signing-keys/signing-key-seal.ts'
import { jws, newPair } from '../identity-providers/assertions.ts'
import { briskClock } from '../support/adjustable-clock.ts'
import { startReplica } from '../support/replicas.ts'
import { addRetiringKeys, asOwnerUnchecked, rewriteSigningKeys } from '../support/sealed-rows.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

/**
 * Rows that grant trust, written with the application's database role and without a change in the feed: never published
 * and never honoured on either of two replicas, counted and logged.
 */
let database: TestDatabase
let replicas: TestService[]
let attacker: pg.Client
const overrides = { clock: briskClock }

beforeAll(async () => {
  database = await createTestDatabase()
  const first = await startTestService({ database, overrides })
  replicas = [first, await startReplica(first, {}, overrides)]
  attacker = new pg.Client({ connectionString: database.applicationUrl })
  await attacker.connect()
  await first.admin('POST', '/tenants', { id: 'acme' })
})
afterAll(async () => {
  await attacker.end()
  await Promise.all(replicas.map(replica => replica.stop()))
  await database.drop()
})

const one = () => replicas[0] as TestService
const onEach = <T>(probe: (replica: TestService) => Promise<T>) => Promise.all(replicas.map(probe))
const jwksOf = async ({ service }: TestService) => {
  const { status, body } = await request(`${service.urls.public}/.well-known/jwks.json`)
  return status === 200 ? body.keys.map(({ kid }: { kid: string }) => kid) : [status]
}
const untrusted = async ({ service }: TestService, kind: string) => {
  const { text } = await request(`${service.urls.ops}/metrics`)
  return Number(new RegExp(`^mintmark_untrusted_rows{kind="${kind}"} (\\d+)$`, 'm').exec(text)?.[1])
}
const untilUntrusted = (kind: string, count: number) =>
  until(
    `${count} untrusted rows of ${kind}`,
    () => onEach(replica => untrusted(replica, kind)),
    counts => counts.every(found => found === count),
  )
const alarmed = (row: string) =>
  until('both replicas log the row', () =>
    replicas.every(({ logs }) => logs.some(line => line.includes(`"row":"${row.slice(0, 64)}"`))),
  )
const sql = async (statement: string, values: unknown[] = []) =>
  (await attacker.query(statement, values)).rows

const NO_SEAL = 'seal = NULL, sealed_with = NULL'

/** The seal is changed with the row and set back: the triggers against older versions stop no attacker. */
async function tamper(table: string, id: [string, string], set: string): Promise<void> {
  const where = `${id[0]} = '${id[1]}'`
  if (set === NO_SEAL) {
    await expect(sql(`UPDATE ${table} SET ${set} WHERE ${where}`)).rejects.toThrow(/cannot be removed/)
    await asOwnerUnchecked(database, `UPDATE ${table} SET ${set} WHERE ${where}`)
    return
  }
  const [before] = await sql(`SELECT sealed_with, seal FROM ${table} WHERE ${where}`)
  const seal = set.includes('seal') ? '' : `, seal = '\\x${randomBytes(32).toString('hex')}'`
  await sql(`UPDATE ${table} SET ${set}${seal} WHERE ${where}`)
  if (seal) await sql(`UPDATE ${table} SET seal = $1 WHERE ${where}`, [before?.seal])
}

/** All columns of the table as they are, except those that a role cannot write. */
async function copyOf(table: string, id: [string, string]) {
  const [row] = await sql(`SELECT to_jsonb(t) AS row FROM ${table} AS t WHERE ${id[0]} = $1`, [id[1]])
  return row?.row as Record<string, unknown>
}
const columnsOf = async (table: string) =>
  (
    await database.asOwner<{ name: string }>(
      `SELECT column_name AS name FROM information_schema.columns WHERE table_name = $1`,
      [table],
    )
  ).map(({ name }) => name)

const KINDS: SealedKind[] = [SIGNING_KEY, IMPORTED_SECRET, IDENTITY_PROVIDER, KEY_CREDENTIAL]

it('every table with a seal is one whose columns are changed here', async () => {
  const found = await database.asOwner<{ name: string }>(
    "SELECT DISTINCT table_name AS name FROM information_schema.columns WHERE column_name IN ('seal', 'sealed_with')",
  )
  expect(found.map(({ name }) => name).sort()).toEqual(KINDS.map(({ table }) => table).sort())
})

describe.each(KINDS)('the seal of $kind', kind => {
  it('covers every column of the table, but those that are declared harmless', async () => {
    const classified = [...kind.columns, ...Object.keys(kind.harmless)]
    const columns = await columnsOf(kind.table)
    expect(columns.filter(name => !classified.includes(name))).toEqual([])
    expect(classified.sort()).toEqual(columns.sort())
  })
})

describe('a signing key', () => {
  /** For each column, SQL that gives it another meaning, the worst that it can. */
  const CHANGES: Record<(typeof SIGNING_KEY.columns)[number] | 'sealed_with' | 'seal', string> = {
    kid: "kid = '.' || substr(kid, 2)",
    alg: "alg = 'RS256'",
    state: "state = 'active', activates_at = now(), private_encrypted = '\\x00', encryption_key_id = 'e1'",
    public_jwk: `public_jwk = public_jwk || '{"x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"}'`,
    private_encrypted: "private_encrypted = '\\x00', encryption_key_id = 'e1'",
    encryption_key_id: "private_encrypted = '\\x00', encryption_key_id = 'e9'",
    published_at: "published_at = published_at - interval '1 day'",
    activates_at: "activates_at = 'infinity'",
    retires_at: "retires_at = 'infinity'",
    forgets_at: "forgets_at = 'infinity'",
    removed_at: 'removed_at = now()',
    revoked_at: 'revoked_at = now()',
    revoked_reason: "revoked_reason = ''",
    held: 'held = NOT held',
    sealed_with: "sealed_with = 'v1:e9:p9'",
    seal: NO_SEAL,
  }

  describe('of which one column was changed', () => {
    const kids: Record<string, string> = {}
    let honest: string[]
    beforeAll(async () => {
      honest = await jwksOf(one())
      const made = await addRetiringKeys(database, one().environment, Object.keys(CHANGES).length)
      const all = [...honest, ...made].sort()
      await until(
        'all are published',
        () => onEach(jwksOf),
        found => found.every(published => published.toSorted().join() === all.join()),
      )
      for (const [index, [column, set]] of Object.entries(CHANGES).entries()) {
        const kid = made[index] ?? ''
        await tamper('signing_keys', ['kid', kid], set)
        kids[column] = column === 'kid' ? `.${kid.slice(1)}` : kid
      }
      await untilUntrusted('signing_key', made.length)
    })
    afterAll(async () => {
      await database.asOwner('DELETE FROM signing_keys WHERE kid = ANY ($1)', [Object.values(kids)])
      await untilUntrusted('signing_key', 0)
    })

    it.each(Object.keys(CHANGES))('%s: it is published by neither replica, and both log it', async column => {
      const published = await onEach(jwksOf)
      expect(published.flat()).not.toContain(kids[column])
      await alarmed(kids[column] ?? '')
    })

    it('the honest ones remain published', async () => {
      expect(await onEach(jwksOf)).toEqual([honest, honest])
    })
  })

  it('that a role made by itself is never published, verifies no token at the gateway, and can be revoked', async () => {
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true })
    const made = await generateSigningKey('ES256')
    const jwk: JWK = { ...(await exportJWK(publicKey)), kid: 'forged', alg: 'ES256', use: 'sig' }
    const [honest] = await sql("SELECT * FROM signing_keys WHERE state = 'active'")
    const insert = (kid: string, publicJwk: JWK, state: string, seal: Buffer, sealedWith: string) =>
      sql(
        `INSERT INTO signing_keys (kid, alg, state, public_jwk, private_encrypted, encryption_key_id, activates_at,
            retires_at, sealed_with, seal)
          VALUES ($1, 'ES256', $2, $3, $4, 'e1', now(), now() + interval '1 day', $5, $6)`,
        [kid, state, JSON.stringify(publicJwk), honest?.private_encrypted, sealedWith, seal],
      )
    const before = await jwksOf(one())
    await insert('forged', jwk, 'retiring', honest?.seal, honest?.sealed_with)
    await insert(made.kid, made.publicJwk, 'active', randomBytes(32), 'v1:e1:p1')
    await untilUntrusted('signing_key', 2)
    expect(await onEach(jwksOf)).toEqual([before, before])
    const token = await new SignJWT({ tenant: 'acme', scope: 'inference' })
      .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: 'forged' })
      .setIssuer(one().environment.MINTMARK_ISSUER ?? '')
      .setAudience('vllm')
      .setExpirationTime('300 days')
      .sign(privateKey)
    const checked = await onEach(({ service }) =>
      request(`${service.urls.gateway}/check/v1/models`, { headers: { authorization: `Bearer ${token}` } }),
    )
    expect(checked.map(({ status }) => status)).toEqual([401, 401])
    for (const kid of ['forged', made.kid]) {
      const { status } = await one().admin('POST', `/signing-keys/${kid}/revoke`, { reason: 'forged' })
      expect(status).toBe(200)
    }
    await untilUntrusted('signing_key', 0)
  })

  it('does not block rotation, nor is changed by it, when it is not genuine', async () => {
    const { kid, publicJwk } = await generateSigningKey('ES256')
    await sql(
      `INSERT INTO signing_keys (kid, alg, state, public_jwk, private_encrypted, encryption_key_id, seal, published_at)
        VALUES ($1, 'ES256', 'standby', $2, '\\x00', 'e1', '\\x00', now() - interval '1 day')`,
      [kid, JSON.stringify(publicJwk)],
    )
    await untilUntrusted('signing_key', 1)
    const before = await copyOf('signing_keys', ['kid', kid])
    const [standby] = await sql("SELECT kid FROM signing_keys WHERE state = 'standby' AND kid <> $1", [kid])
    const { status, body } = await one().admin('POST', '/signing-keys/rotate', {})
    expect([status, body.kid]).toEqual([200, standby?.kid])
    for (const path of ['hold', 'release'])
      expect((await one().admin('POST', `/signing-keys/${kid}/${path}`)).status).toBe(404)
    expect((await one().admin('POST', '/signing-keys/rewrap')).status).toBe(200)
    expect(await copyOf('signing_keys', ['kid', kid])).toEqual(before)
    await one().admin('POST', `/signing-keys/${kid}/revoke`, { reason: 'forged' })
    await untilUntrusted('signing_key', 0)
  })

  it.each(['active', 'standby'])(
    'that was %s, was revoked, and is put back with its seal is neither published nor used',
    async state => {
      const [old] = await sql('SELECT kid, to_jsonb(k) AS row FROM signing_keys AS k WHERE state = $1', [
        state,
      ])
      const revoke = () => one().admin('POST', `/signing-keys/${old?.kid}/revoke`, { reason: 'leaked' })
      expect((await revoke()).status).toBe(200)
      const without = (all: string[][]) =>
        all.every(kids => kids.join() === all[0]?.join() && !kids.includes(old?.kid))
      const honest = (await until('both drop it', () => onEach(jwksOf), without))[0]
      await sql(
        `UPDATE signing_keys AS k SET state = o.state, private_encrypted = o.private_encrypted,
        encryption_key_id = o.encryption_key_id, removed_at = NULL, revoked_at = NULL, revoked_reason = NULL,
        sealed_with = o.sealed_with, seal = o.seal FROM jsonb_populate_record(NULL::signing_keys, $1) AS o
        WHERE k.kid = o.kid`,
        [old?.row],
      )
      await untilUntrusted('signing_key', 1)
      await alarmed(old?.kid)
      // These saw its revocation; another one sees that there is a newer key.
      const says = ({ logs }: TestService, fault: string) =>
        logs.some(line => line.includes(`"fault":"${fault}"`))
      expect(replicas.every(replica => says(replica, 'revoked'))).toBe(true)
      const fresh = await startReplica(one())
      await until('it names the row', () => says(fresh, 'superseded'))
      expect(await jwksOf(fresh)).toEqual(honest)
      await fresh.stop()
      const { secret } = await one().tenantWithKey()
      const { body } = await one().token({ grant_type: 'client_credentials', client_secret: secret })
      expect(decodeProtectedHeader(body.access_token).kid).not.toBe(old?.kid)
      expect((await one().admin('GET', `/signing-keys/${old?.kid}`)).status).toBe(404)
      expect((await one().admin('POST', '/signing-keys/rotate', {})).body.kid).not.toBe(old?.kid)
      expect(await onEach(jwksOf)).toEqual([honest, honest])
      expect((await revoke()).status).toBe(200)
      await untilUntrusted('signing_key', 0)
    },
  )

  it('that names a recorded encryption key that no replica has stops no rotation, and can be discarded', async () => {
    const { kid, publicJwk } = await generateSigningKey('ES256')
    await sql(`UPDATE installation SET encryption_key_checks = encryption_key_checks || '{"e0": "old"}'`)
    await sql(
      `INSERT INTO signing_keys (kid, alg, state, public_jwk, retires_at, sealed_with, seal)
        VALUES ($1, 'ES256', 'retiring', $2, now() + interval '1 day', 'v1:e0:p1', '\\x00')`,
      [kid, JSON.stringify(publicJwk)],
    )
    await untilUntrusted('signing_key', 1)
    expect((await one().admin('POST', '/signing-keys/rotate', {})).status).toBe(200)
    await one().admin('POST', `/signing-keys/${kid}/revoke`, { reason: 'forged' })
    await untilUntrusted('signing_key', 0)
    await sql(`UPDATE installation SET encryption_key_checks = encryption_key_checks - 'e0'`)
  })

  it('that signs is replaced by its standby when its row is changed, and a seal of another row does not help', async () => {
    const { secret } = await one().tenantWithKey()
    const signer = async (replica: TestService) => {
      const { status, body } = await replica.token({
        grant_type: 'client_credentials',
        client_secret: secret,
      })
      return status === 200 ? decodeProtectedHeader(body.access_token).kid : status
    }
    const active = await signer(one())
    // Verifiers have had the lead to fetch the standby.
    await rewriteSigningKeys(
      database,
      one().environment,
      "UPDATE signing_keys SET published_at = date_trunc('second', now()) - interval '1 day' WHERE state = 'standby'",
    )
    const [standby] = await sql("SELECT kid, seal, sealed_with FROM signing_keys WHERE state = 'standby'")
    await sql('UPDATE signing_keys SET seal = $2, sealed_with = $3 WHERE kid = $1', [
      active,
      standby?.seal,
      standby?.sealed_with,
    ])
    await untilUntrusted('signing_key', 1)
    await until(
      'the standby signs',
      () => onEach(signer),
      kids => kids.every(kid => kid === standby?.kid),
    )
    expect((await onEach(jwksOf)).some(kids => kids.includes(active))).toBe(false)
    const [row] = await sql('SELECT state FROM signing_keys WHERE kid = $1', [active])
    expect(row?.state).toBe('active')
    await one().admin('POST', `/signing-keys/${active}/revoke`, { reason: 'its row was changed' })
    await untilUntrusted('signing_key', 0)
  })
})

const AUDIENCE = 'https://tokens.example.com'
const attackers = newPair('one')
interface Workload {
  pair: ReturnType<typeof newPair>
  issuer: string
  provider: string
  key: string
  credential: string
}
let workloads = 0
let honestWorkload: Workload

const assertionOf = ({ issuer, pair }: Workload, sub = 'robot', by = pair) => {
  const exp = Math.floor(Date.now() / 1000) + 3_600
  return jws(by, { alg: 'ES256', kid: 'one' }, { iss: issuer, aud: AUDIENCE, sub, exp })
}
const exchangeAssertion = async (replica: TestService, assertion: string) => {
  const { status, body } = await replica.token({
    grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
    assertion,
  })
  return status === 200 ? decodeJwt(body.access_token).sub : status
}
const untilAnswered = (workload: Workload, expected: unknown) =>
  until(
    `both answer ${expected}`,
    () => onEach(replica => exchangeAssertion(replica, assertionOf(workload))),
    all => all.every(answer => answer === expected),
  )

async function makeWorkload(): Promise<Workload> {
  const pair = newPair('one')
  const issuer = `https://issuer-${++workloads}.example.com`
  const settings = { kind: 'oidc', issuer, audiences: [AUDIENCE], jwks: { keys: [pair.jwk] } }
  const { body: provider } = await one().admin('POST', '/identity-providers', settings)
  const credential = { type: 'federated', provider: provider.id, subject: 'robot' }
  const { body, text } = await one().admin('POST', '/tenants/acme/workload-keys', { credential })
  expect(body.key, text).toBeDefined()
  const workload = { pair, issuer, provider: provider.id, key: body.key, credential: body.credential.id }
  await untilAnswered(workload, workload.key)
  return workload
}

describe('workload identity', () => {
  beforeAll(async () => {
    honestWorkload = await makeWorkload()
  })

  type Columns = (typeof KEY_CREDENTIAL.columns)[number] | 'sealed_with' | 'seal'
  const CREDENTIAL_CHANGES: Record<Columns, () => string> = {
    id: () => "id = 'crd_AAAAAAAAAAAAAAAA'",
    key_id: () => `key_id = '${honestWorkload.key}'`,
    provider_id: () => `provider_id = '${honestWorkload.provider}'`,
    definition: () => `definition = replace(definition, '"robot"', '"attacker"')`,
    sealed_with: () => "sealed_with = 'v1:e9:p9'",
    seal: () => "seal = '\\x00'",
  }
  const PROVIDER_CHANGES: Record<
    (typeof IDENTITY_PROVIDER.columns)[number] | 'sealed_with' | 'seal',
    () => string
  > = {
    id: () => "id = 'idp_AAAAAAAAAAAAAAAA'",
    definition: () =>
      `definition = jsonb_set(definition::jsonb, '{jwks}', '${JSON.stringify({ keys: [attackers.jwk] })}')::text`,
    sealed_with: () => "sealed_with = 'v1:e9:p9'",
    seal: () => "seal = '\\x00'",
  }

  describe.each([
    {
      kind: 'key_credential',
      table: 'key_credentials',
      changes: CREDENTIAL_CHANGES,
      idOf: (of: Workload) => of.credential,
    },
    {
      kind: 'identity_provider',
      table: 'identity_providers',
      changes: PROVIDER_CHANGES,
      idOf: (of: Workload) => of.provider,
    },
  ])('a $kind of which one column was changed', ({ kind, table, changes, idOf }) => {
    const rows: Record<string, { workload: Workload; id: string }> = {}
    beforeAll(async () => {
      for (const column of Object.keys(changes)) {
        const workload = await makeWorkload()
        rows[column] = { workload, id: idOf(workload) }
      }
      for (const [column, set] of Object.entries(changes)) {
        const { id, workload } = rows[column] as { workload: Workload; id: string }
        // A foreign key keeps the id of a provider that is in use.
        if (table === 'identity_providers' && column === 'id')
          await sql('DELETE FROM key_credentials WHERE id = $1', [workload.credential])
        await tamper(table, ['id', id], set())
        if (column === 'id') rows[column] = { workload, id: /'(.*)'/.exec(set())?.[1] ?? '' }
      }
      await untilUntrusted(kind, Object.keys(changes).length)
    })
    afterAll(async () => {
      const ids = Object.values(rows).map(({ id }) => id)
      await sql('DELETE FROM key_credentials WHERE id = ANY ($1) OR provider_id = ANY ($1)', [ids])
      await sql(`DELETE FROM ${table} WHERE id = ANY ($1)`, [ids])
      await untilUntrusted(kind, 0)
    })

    it.each(Object.keys(changes))(
      '%s: nothing is accepted by either replica, and both log it',
      async column => {
        const { workload, id } = rows[column] as { workload: Workload; id: string }
        await untilAnswered(workload, 400)
        for (const assertion of [
          assertionOf(workload, 'attacker'),
          assertionOf(workload, 'robot', attackers),
        ])
          expect(await onEach(replica => exchangeAssertion(replica, assertion))).toEqual([400, 400])
        await alarmed(id)
      },
    )

    it('the honest one remains accepted', async () => {
      await untilAnswered(honestWorkload, honestWorkload.key)
    })
  })

  it('that a role made by itself, with the seal of another row, is not accepted', async () => {
    const COPY = 'SELECT $1, definition, sealed_with, seal FROM'
    await sql(
      `INSERT INTO key_credentials (id, definition, sealed_with, seal, key_id, provider_id)
        ${COPY.replace('FROM', ', key_id, provider_id FROM')} key_credentials WHERE id = $2`,
      ['crd_BBBBBBBBBBBBBBBB', honestWorkload.credential],
    )
    await sql(
      `INSERT INTO identity_providers (id, definition, sealed_with, seal) ${COPY} identity_providers WHERE id = $2`,
      ['idp_BBBBBBBBBBBBBBBB', honestWorkload.provider],
    )
    await untilUntrusted('key_credential', 1)
    await untilUntrusted('identity_provider', 1)
    await untilAnswered(honestWorkload, honestWorkload.key)
    await sql("DELETE FROM key_credentials WHERE id = 'crd_BBBBBBBBBBBBBBBB'")
    await sql("DELETE FROM identity_providers WHERE id = 'idp_BBBBBBBBBBBBBBBB'")
    await untilUntrusted('identity_provider', 0)
  })

  it('is not sealed by the change of an administrator when it is not genuine', async () => {
    const { provider } = await makeWorkload()
    await tamper('identity_providers', ['id', provider], PROVIDER_CHANGES.definition())
    const refused = { status: 409, body: { code: 'identity_provider_not_genuine' } }
    expect(await one().admin('PATCH', `/identity-providers/${provider}`, { name: 'x' })).toMatchObject(
      refused,
    )
    const credential = { type: 'federated', provider, subject: 'attacker' }
    expect(await one().admin('POST', `/keys/${honestWorkload.key}/credentials`, credential)).toMatchObject(
      refused,
    )
    expect((await one().admin('POST', '/signing-keys/rewrap')).status).toBe(200)
    await untilUntrusted('identity_provider', 1)
    await sql('DELETE FROM key_credentials WHERE provider_id = $1', [provider])
    expect((await one().admin('DELETE', `/identity-providers/${provider}`)).status).toBe(204)
    await untilUntrusted('identity_provider', 0)
  })
})

describe('an imported secret', () => {
  interface Client {
    client_id: string
    secret: string
    id: string
    key: string
  }
  let number = 0
  let honest: Client
  const sha256 = (secret: string) => createHash('sha256').update(secret).digest('hex')
  const exchange = async (replica: TestService, client_id: string, client_secret: string) =>
    (await replica.token({ grant_type: 'client_credentials', client_id, client_secret })).status
  const untilAll = (what: string, { client_id, secret }: Client, expected: number) =>
    until(
      what,
      () => onEach(replica => exchange(replica, client_id, secret)),
      all => all.every(status => status === expected),
    )

  async function importOne(): Promise<Client> {
    const client_id = `client-${++number}`
    const secret = `chosen ${number}`
    const row = { client_id, tenant: 'acme', scheme: 'sha256', hash: sha256(secret) }
    const { body, text } = await one().admin('POST', '/imported-clients', { clients: [row] })
    expect(body.rows, text).toHaveLength(1)
    const [stored] = await sql('SELECT id FROM api_key_secrets WHERE client_id = $1', [client_id])
    const client = { client_id, secret, id: stored?.id as string, key: body.rows[0].key as string }
    await untilAll('both accept it', client, 200)
    return client
  }
  beforeAll(async () => {
    honest = await importOne()
  })
  const remove = async (...ids: string[]) => {
    await database.asOwner('DELETE FROM api_key_secrets WHERE id = ANY ($1)', [ids])
    await untilUntrusted('imported_secret', 0)
  }

  describe('of which one column was changed', () => {
    const CHANGES: Record<(typeof IMPORTED_SECRET.columns)[number] | 'sealed_with' | 'seal', () => string> = {
      id: () => "id = 'sec_AAAAAAAAAAAAAAAA'",
      key_id: () => `key_id = '${honest.key}'`,
      client_id: () => "client_id = 'taken-over'",
      scheme: () => "scheme = 'bcrypt'",
      hash: () => `hash = '${sha256('of the attacker')}'`,
      ends_at: () => "ends_at = now() + interval '10 years'",
      revoked_at: () => "revoked_at = '2020-01-01', ends_at = NULL",
      sealed_with: () => "sealed_with = 'v1:e9:p9'",
      seal: () => NO_SEAL,
    }
    const clients: Record<string, Client> = {}
    beforeAll(async () => {
      for (const column of Object.keys(CHANGES)) clients[column] = await importOne()
      for (const [column, set] of Object.entries(CHANGES)) {
        const client = clients[column] as Client
        await tamper('api_key_secrets', ['id', client.id], set())
        if (column === 'id') client.id = 'sec_AAAAAAAAAAAAAAAA'
      }
      await untilUntrusted('imported_secret', Object.keys(CHANGES).length)
    }, 120_000)
    afterAll(() => remove(...Object.values(clients).map(({ id }) => id)))

    it.each(Object.keys(CHANGES))('%s: it is accepted by neither replica, and both log it', async column => {
      const client = clients[column] as Client
      for (const clientId of [client.client_id, 'taken-over'])
        for (const secret of [client.secret, 'of the attacker'])
          expect(await onEach(replica => exchange(replica, clientId, secret))).toEqual([401, 401])
      await alarmed(client.id)
    })

    it('the honest one remains accepted', async () => {
      await untilAll('both accept it', honest, 200)
    })
  })

  it('that a role made by itself, with the seal of another one, is not accepted', async () => {
    const client = honest
    await sql(
      `INSERT INTO api_key_secrets (id, key_id, client_id, scheme, hash, sealed_with, seal)
        SELECT 'sec_BBBBBBBBBBBBBBBB', key_id, 'forged', scheme, $2, sealed_with, seal FROM api_key_secrets WHERE id = $1`,
      [client.id, sha256('of the attacker')],
    )
    expect(await onEach(replica => exchange(replica, 'forged', 'of the attacker'))).toEqual([401, 401])
    await untilUntrusted('imported_secret', 1)
    await alarmed('sec_BBBBBBBBBBBBBBBB')
    const row = { client_id: 'forged', tenant: 'acme', scheme: 'sha256', hash: sha256('of the attacker') }
    expect((await one().admin('POST', '/imported-clients', { clients: [row] })).status).toBe(400)
    await remove('sec_BBBBBBBBBBBBBBBB')
  })

  it('is not accepted again when its revocation is undone, nor for longer when its end is', async () => {
    const client = await importOne()
    await one().admin('POST', `/keys/${client.key}/rotate`, { overlap_seconds: 60 })
    expect(await onEach(replica => exchange(replica, client.client_id, client.secret))).toEqual([200, 200])
    await untilUntrusted('imported_secret', 0)
    await one().admin('POST', `/keys/${client.key}/secrets/${client.id}/revoke`)
    await untilAll('it is refused', client, 401)
    await tamper('api_key_secrets', ['id', client.id], 'revoked_at = NULL, ends_at = NULL')
    await untilUntrusted('imported_secret', 1)
    expect(await onEach(replica => exchange(replica, client.client_id, client.secret))).toEqual([401, 401])
    await remove(client.id)
  })

  it('is not accepted again when the revocation of its key is undone', async () => {
    const client = await importOne()
    await one().admin('POST', `/keys/${client.key}/revoke`, { reason: 'leaked' })
    await untilAll('it is refused', client, 401)
    await sql('UPDATE api_keys SET revoked_at = NULL, revoked_reason = NULL WHERE id = $1', [client.key])
    // What a replica remembers of an unknown secret ends with any change.
    await one().tenantWithKey()
    expect(await onEach(replica => exchange(replica, client.client_id, client.secret))).toEqual([401, 401])
    await tamper('api_key_secrets', ['id', client.id], 'revoked_at = NULL')
    await untilUntrusted('imported_secret', 1)
    expect(await onEach(replica => exchange(replica, client.client_id, client.secret))).toEqual([401, 401])
    await remove(client.id)
  })

  it('is sealed again by a rewrap on a replica with new first keys, as are identity providers and credentials', async () => {
    const next = (id: string) => `${id}:${randomBytes(32).toString('base64url')}`
    const { MINTMARK_ENCRYPTION_KEYS: keys, MINTMARK_PEPPERS: peppers } = one().environment
    const moved = await startReplica(one(), {
      MINTMARK_ENCRYPTION_KEYS: `${next('e2')},${keys}`,
      MINTMARK_PEPPERS: `${next('p2')},${peppers}`,
    })
    const { body } = await moved.admin('POST', '/signing-keys/rewrap')
    // Two signing keys at least, and this one.
    expect(body.resealed).toBeGreaterThanOrEqual(3)
    const [left] = await sql(
      "SELECT count(*)::int AS count FROM api_key_secrets WHERE client_id IS NOT NULL AND sealed_with <> 'v1:e2:p2'",
    )
    expect(left?.count).toBe(0)
    expect(await exchange(moved, honest.client_id, honest.secret)).toBe(200)
    // The others lack the new keys: they answer 503 and not 401.
    expect(await onEach(replica => exchange(replica, honest.client_id, honest.secret))).toEqual([503, 503])
    for (const table of ['identity_providers', 'key_credentials'])
      expect(await sql(`SELECT id FROM ${table} WHERE sealed_with <> 'v1:e2:p2'`)).toEqual([])
    expect(await exchangeAssertion(moved, assertionOf(honestWorkload))).toBe(honestWorkload.key)
    await untilAnswered(honestWorkload, 503)
    expect(await onEach(jwksOf)).toEqual(await Promise.all([moved, moved].map(jwksOf)))
    await moved.stop()
  })
})

describe('an administrator', () => {
  it("who has an introspector's token opens no admin route with it, whatever its row says", async () => {
    const asked = { name: 'reader', role: 'introspector', audiences: ['vllm'] }
    const { body, text } = await one().admin('POST', '/admin-tokens', asked)
    expect(body.secret, text).toMatch(/^mmi_/)
    await sql("UPDATE admin_tokens SET role = 'owner', audiences = NULL WHERE id = $1", [body.id])
    const headers = { authorization: `Bearer ${body.secret}` }
    const statuses = await onEach(
      async replica => (await replica.admin('GET', '/tenants', undefined, headers)).status,
    )
    expect(statuses).toEqual([401, 401])
  })
})
