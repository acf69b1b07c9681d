import { monitorEventLoopDelay } from 'node:perf_hooks'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { briskClock } from '../support/adjustable-clock.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

/** The security review had 1,000,000. */
const ROWS = Number(process.env.MINTMARK_TEST_FORGED_ROWS ?? 30_000)
const BYTES = 100_000_000
/** Of identity providers and of credentials, whose size the database bounds. More than are remembered. */
const IDENTITY_ROWS = 5_000
const BUSY = { timeout: 240_000 }

/** The application's role writes very many rows that would grant trust, and very large ones. */
let mintmark: TestService
let honest: { keyId: string; secret: string; jwks: string }
let loop: ReturnType<typeof monitorEventLoopDelay>
let residentBefore: number

beforeAll(async () => {
  mintmark = await startTestService({ overrides: { clock: briskClock } })
  const { keyId, secret } = await mintmark.tenantWithKey()
  honest = { keyId, secret, jwks: await jwks() }
  const role = new pg.Client({ connectionString: mintmark.database.applicationUrl })
  await role.connect()
  loop = monitorEventLoopDelay({ resolution: 10 })
  residentBefore = process.memoryUsage.rss()
  loop.enable()
  await role.query(
    `INSERT INTO signing_keys (kid, alg, state, public_jwk, retires_at, sealed_with, seal)
      SELECT lpad(n::text, 43, 'f'), 'ES256', 'retiring', public_jwk, 'infinity', sealed_with, seal
      FROM (SELECT public_jwk, sealed_with, seal FROM signing_keys WHERE state = 'active') AS genuine,
        generate_series(1, $1::int) AS n`,
    [ROWS],
  )
  await role.query(
    `INSERT INTO signing_keys (kid, alg, state, public_jwk, retires_at, sealed_with, seal)
      VALUES ('large', 'ES256', 'retiring', jsonb_build_object('kty', repeat('x', $1)), now(), repeat('y', $1), '\\x00')`,
    [BYTES],
  )
  await role.query(
    `INSERT INTO api_key_secrets (id, key_id, client_id, scheme, hash, sealed_with, seal)
      SELECT 'sec_' || lpad(n::text, 16, '0'), $2, 'forged-' || n, 'sha256', repeat('0', 64), 'v1:e1:p1', '\\x00'
      FROM generate_series(1, $1::int) AS n`,
    [ROWS, keyId],
  )
  await role.query(
    `INSERT INTO api_key_secrets (id, key_id, client_id, scheme, hash, sealed_with, seal)
      VALUES ('sec_AAAAAAAAAAAAAAAA', $2, 'large', 'sha256', repeat('0', $1), repeat('y', $1), '\\x00')`,
    [BYTES, keyId],
  )
  await role.query(
    `INSERT INTO identity_providers (id, definition, sealed_with, seal)
      SELECT 'idp_' || lpad(n::text, 16, '0'), '{}', 'v1:e1:p1', '\\x00' FROM generate_series(1, $1::int) AS n`,
    [IDENTITY_ROWS],
  )
  await role.query(
    `INSERT INTO key_credentials (id, key_id, definition, sealed_with, seal)
      SELECT 'crd_' || lpad(n::text, 16, '0'), $2, '{"type": "public_key"}', 'v1:e1:p1', '\\x00'
      FROM generate_series(1, $1::int) AS n`,
    [IDENTITY_ROWS, keyId],
  )
  for (const column of ['definition', 'created_by', 'sealed_with'])
    for (const table of ['identity_providers', 'key_credentials'])
      await expect(
        role.query(`UPDATE ${table} SET ${column} = repeat('y', 200000) WHERE id LIKE '%00001'`),
      ).rejects.toThrow(/check constraint/)
  await role.end()
}, BUSY.timeout)
afterAll(() => mintmark.stop())

const jwks = async () => (await request(`${mintmark.service.urls.public}/.well-known/jwks.json`)).text
const untrusted = async () => {
  const { text } = await request(`${mintmark.service.urls.ops}/metrics`)
  return [...text.matchAll(/^mintmark_untrusted_rows\{.*\} (\d+)$/gm)].map(([, count]) => Number(count))
}
const exchange = () => mintmark.token({ grant_type: 'client_credentials', client_secret: honest.secret })

describe('a flood of forged rows', BUSY, () => {
  it('is alarmed, and takes neither memory nor the event loop', async () => {
    await until('all kinds are counted', untrusted, counts => counts.every(count => count >= 100), 120_000)
    const isLogged = (kind: string) => mintmark.logs.some(line => line.includes(`"alarm":"untrusted-${kind}`))
    const kinds = ['signing_key', 'imported_secret', 'identity_provider', 'key_credential']
    await until('all kinds are logged', () => kinds.every(isLogged), Boolean, 60_000)
    const { body } = await mintmark.admin('GET', `/keys/${honest.keyId}`)
    expect(body.secrets.length).toBeLessThanOrEqual(1_000)
    const megabytes = (process.memoryUsage.rss() - residentBefore) / 1e6
    const delays = { p99: loop.percentile(99) / 1e6, longest: loop.max / 1e6 }
    console.log({ rows: ROWS, megabytes, ...delays })
    expect(megabytes).toBeLessThan(300)
    expect(delays.longest).toBeLessThan(3_000)
  })

  it('leaves the genuine signing keys as they are, and exchanges', async () => {
    expect((await exchange()).status).toBe(200)
    expect(await jwks()).toBe(honest.jwks)
  })

  it('a change of the key that has the forged secrets is applied', async () => {
    const disable = () => mintmark.admin('POST', `/keys/${honest.keyId}/disable`)
    await until('it is disabled', disable, ({ status }) => status === 200)
    expect((await exchange()).status).toBe(400)
  })

  it('a replica that starts meanwhile makes no keys: it stays unready, and names the cure', async () => {
    const { database, environment: env } = mintmark
    const unready = await startTestService({ database, env, awaitReady: false })
    const reason = async () => (await request(`${unready.service.urls.ops}/readyz`)).body.reason
    await until('it gives the reason', reason, text => /cannot all be verified/.test(text), 60_000)
    await unready.stop()
  })
})
