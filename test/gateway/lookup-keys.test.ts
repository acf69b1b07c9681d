import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { readHeader } from '../../src/snapshots/sealed-file.ts'
import type { SnapshotHeader } from '../../src/snapshots/snapshot.ts'
import { scrape } from '../observability/metrics-text.ts'
import { promptedClock } from '../support/adjustable-clock.ts'
import { caughtUp } from '../support/caught-up.ts'
import { NO_SERVER, startReplica } from '../support/replicas.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { admitted, ask, bearer, deniedAs } from './check-client.ts'

/** Keys of another gateway, imported with `lookup`: presented alone, as an OpenAI SDK does. */
const clock = promptedClock()
let mintmark: TestService
beforeAll(async () => {
  mintmark = await startTestService({
    env: { MINTMARK_GATEWAY_KEY_HEADERS: 'x-api-key' },
    overrides: { clock },
  })
  await mintmark.admin('PUT', '/models/llama-3-8b', {})
  await mintmark.admin('POST', '/tenants', { id: 'acme' })
})
afterAll(() => mintmark.stop())

const sha256 = (secret: string) => createHash('sha256').update(secret).digest('hex')
/** As LiteLLM makes them. */
const newSecret = () => `sk-${randomBytes(16).toString('base64url')}`
const lookups = async (service = mintmark) => {
  const { series } = await scrape(service.service.urls.ops)
  const uses = (outcome: string) => series.get(`mintmark_lookup_secret_uses_total{outcome="${outcome}"}`)
  return { found: uses('found'), unknown: uses('unknown'), limited: uses('limited') }
}
const queries = async (service: TestService) =>
  (await scrape(service.service.urls.ops)).series.get('mintmark_fallback_queries_total')

let made = 0
async function imported(more: object = {}, secret = newSecret()) {
  const client = { client_id: `gateway-${++made}`, tenant: 'acme', scheme: 'sha256', hash: sha256(secret) }
  const row = { ...client, lookup: true, ...more }
  const { status, text, body } = await mintmark.admin('POST', '/imported-clients', { clients: [row] })
  if (status !== 200) throw new Error(text)
  return { secret, row, key: body.rows[0].key as string }
}
const exchange = (parameters: Record<string, string>, service = mintmark) =>
  service.token({ grant_type: 'client_credentials', ...parameters })
const statusOf = async (parameters: Record<string, string>) => (await exchange(parameters)).status

describe('an imported secret with lookup', () => {
  let found: Awaited<ReturnType<typeof imported>>
  beforeEach(async () => {
    found = await imported({ limits: { requests_per_minute: 7 } })
  })

  it('is explained to an administrator, which is no use of it', async () => {
    const before = await lookups()
    const { status, text, body } = await mintmark.admin('POST', '/explain', { credential: found.secret })
    expect(status, text).toBe(200)
    expect(body).toMatchObject({ subject: 'key', accepted: true })
    expect(text).not.toContain(found.secret)
    expect(await lookups()).toEqual(before)
    await mintmark.admin('POST', `/keys/${found.key}/disable`)
    expect((await mintmark.admin('POST', '/explain', { credential: found.secret })).body).toMatchObject({
      accepted: false,
      reason: 'key_disabled',
    })
  })

  it('is exchanged alone, and under the names of its key', async () => {
    const { secret, key, row } = found
    const answer = await exchange({ client_secret: secret })
    expect(answer.status, answer.text).toBe(200)
    const [, payload = ''] = answer.body.access_token.split('.')
    expect(JSON.parse(Buffer.from(payload, 'base64url').toString())).toMatchObject({
      sub: key,
      tenant: 'acme',
      limits: { key: { requests: { requests_per_unit: 7, unit: 'MINUTE' } } },
    })
    for (const client_id of [key, 'acme', row.client_id])
      expect(await statusOf({ client_id, client_secret: secret })).toBe(200)
    expect(await statusOf({ client_id: 'another', client_secret: secret })).toBe(401)
  })

  it('passes the check in both headers, and only as a whole', async () => {
    const { secret, key } = found
    expect(admitted(await ask(mintmark, { headers: bearer(secret) })).claims.sub).toBe(key)
    expect(admitted(await ask(mintmark, { headers: [['x-api-key', secret]] })).claims.sub).toBe(key)
    for (const wrong of [`${secret}x`, secret.slice(0, -1), secret.toUpperCase(), sha256(secret)])
      expect(deniedAs(await ask(mintmark, { headers: bearer(wrong) }))).toBe('401 invalid_api_key')
  })

  it('is shown with its use, listed, and identified', async () => {
    const { secret, key } = found
    await exchange({ client_secret: secret })
    const get = async () => (await mintmark.admin('GET', `/keys/${key}`)).body
    await until('its use is written', async () => {
      await clock.runJobs()
      return (await get()).secrets[0].last_used_at !== null
    })
    const { secrets } = await get()
    expect(secrets[0].imported).toEqual({ client_id: found.row.client_id, scheme: 'sha256', lookup: true })
    expect(Date.parse(secrets[0].ends_at) - Date.now()).toBeLessThanOrEqual(180 * 86_400_000)
    const listed = (await mintmark.admin('GET', '/keys?imported=lookup')).body.data
    expect(listed.map(({ id }: { id: string }) => id)).toContain(key)
    const inspected = (await mintmark.admin('POST', '/keys/inspect', { key: secret })).body
    expect(inspected).toMatchObject({ well_formed: false, key: { id: key }, secret_id: secrets[0].id })
  })

  const ENDS: [what: string, end: (id: string, secretId: string) => Promise<unknown>, answer: string][] = [
    ['its key is revoked', id => mintmark.admin('POST', `/keys/${id}/revoke`, {}), '401 invalid_client'],
    [
      'it is revoked',
      (id, secretId) => mintmark.admin('POST', `/keys/${id}/secrets/${secretId}/revoke`, {}),
      '401 invalid_client',
    ],
    [
      'its key is disabled',
      id => mintmark.admin('POST', `/keys/${id}/disable`, {}),
      '400 unauthorized_client',
    ],
  ]
  it.each(ENDS)('is refused as soon as %s', async (_, end, expected) => {
    const { secret, key } = found
    expect(await statusOf({ client_secret: secret })).toBe(200)
    const { secrets } = (await mintmark.admin('GET', `/keys/${key}`)).body
    await end(key, secrets[0].id)
    const { status, body } = await exchange({ client_secret: secret })
    expect(`${status} ${body.error}`).toBe(expected)
    expect((await ask(mintmark, { headers: bearer(secret) })).status).not.toBe(200)
  })

  it('says so when its tenant is suspended', async () => {
    await mintmark.admin('POST', '/tenants', { id: 'paused' })
    const { secret } = await imported({ tenant: 'paused' })
    await mintmark.admin('POST', '/tenants/paused/suspend', {})
    expect((await exchange({ client_secret: secret })).body.error).toBe('unauthorized_client')
    expect(deniedAs(await ask(mintmark, { headers: bearer(secret) }))).toBe('403 tenant_suspended')
  })

  it('is asked for in Postgres at each use where its tenant wants that', async () => {
    await mintmark.admin('POST', '/tenants', { id: 'careful', staleness_seconds: 0 })
    const { secret } = await imported({ tenant: 'careful' })
    const before = Number(await queries(mintmark))
    expect(await statusOf({ client_secret: secret })).toBe(200)
    expect(Number(await queries(mintmark))).toBeGreaterThan(before)
  })

  it('ends at its own end, and its key goes on with another secret', async () => {
    let aheadMs = 1_250
    // On a busy machine one may end before it was used.
    const { secret, key } = await until(
      'one was used',
      async () => {
        aheadMs *= 2
        const made = await imported({ ends_at: new Date(Date.now() + aheadMs).toISOString() })
        return { ...made, status: await statusOf({ client_secret: made.secret }) }
      },
      ({ status }) => status === 200,
    )
    const rotated = (await mintmark.admin('POST', `/keys/${key}/rotate`, { overlap_seconds: 86_400 })).body
    await until('it ended', async () => (await statusOf({ client_secret: secret })) === 401)
    expect(await statusOf({ client_secret: rotated.secret })).toBe(200)
  })

  it('is not accepted when its row was changed by SQL', async () => {
    const { secret, key } = found
    const other = await imported()
    await mintmark.database.asOwner(
      `ALTER TABLE api_key_secrets DISABLE TRIGGER USER; UPDATE api_key_secrets SET key_id = '${other.key}' WHERE key_id = '${key}';
       ALTER TABLE api_key_secrets ENABLE TRIGGER USER`,
    )
    await until('it is not trusted', async () => (await statusOf({ client_secret: secret })) !== 200)
  })
})

describe('an import with lookup is rejected', () => {
  const attempt = (client: object) =>
    mintmark.admin('POST', '/imported-clients', {
      clients: [
        {
          client_id: `bad-${++made}`,
          tenant: 'acme',
          scheme: 'sha256',
          hash: sha256(newSecret()),
          ...client,
        },
      ],
    })
  const inDays = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString()
  const [in30Days, in181Days] = [inDays(30), inDays(181)]
  it.each([
    ['with a later end than 180 days', { lookup: true, ends_at: in181Days }, 'ends_at'],
    ['with an end in the past', { lookup: true, ends_at: '2020-01-01T00:00:00Z' }, 'ends_at'],
    ['with an end of its own but without lookup', { ends_at: in30Days }, 'ends_at'],
    ['for a bcrypt hash', { lookup: true, scheme: 'bcrypt', hash: `$2b$10$${'a'.repeat(53)}` }, 'lookup'],
  ])('%s', async (_, client, field) => {
    const { status, body } = await attempt(client)
    expect(status).toBe(400)
    expect(JSON.stringify(body.errors)).toContain(`/clients/0/${field}`)
  })

  it('for a secret that another client has, also when that one was revoked', async () => {
    const { row, key } = await imported()
    await mintmark.admin('POST', `/keys/${key}/revoke`, {})
    const { status, text } = await attempt({ lookup: true, hash: row.hash })
    expect([status, text.includes(key)]).toEqual([400, true])
  })

  it('and a list that was sent before is not', async () => {
    const { row, key } = await imported()
    const { body } = await mintmark.admin('POST', '/imported-clients', { clients: [row] })
    expect(body.rows[0]).toMatchObject({ result: 'exists', key })
  })
})

describe('secrets that nobody has', () => {
  it('cost no query, and their address is limited while known ones are not', async () => {
    const { secret } = await imported()
    const limited = await startReplica(mintmark, { MINTMARK_FAILURES_PER_MINUTE: '20' })
    try {
      const before = await queries(limited)
      const answers = await Promise.all(
        Array.from({ length: 60 }, () => exchange({ client_secret: newSecret() }, limited)),
      )
      const statuses = answers.map(({ status }) => status)
      expect(statuses.filter(status => status === 401).length).toBeLessThanOrEqual(21)
      expect(statuses.filter(status => status === 429).length).toBeGreaterThanOrEqual(39)
      expect((await exchange({ client_secret: secret }, limited)).status).toBe(200)
      expect(await queries(limited)).toBe(before)
      expect(await lookups(limited)).toMatchObject({ found: 1 })
    } finally {
      await limited.stop()
    }
  })

  it.each([
    ['with a space', 'a b'],
    ['longer than any', 'a'.repeat(129)],
  ])('are counted beside a client_id that none can have: %s', async (_, client_id) => {
    await imported()
    const limited = await startReplica(mintmark, { MINTMARK_FAILURES_PER_MINUTE: '5' })
    try {
      const statuses: number[] = []
      for (let guess = 0; guess < 10; guess++)
        statuses.push((await exchange({ client_id, client_secret: newSecret() }, limited)).status)
      expect(statuses).toEqual([...Array(5).fill(401), ...Array(5).fill(429)])
      expect(await lookups(limited)).toMatchObject({ unknown: 5, limited: 5 })
    } finally {
      await limited.stop()
    }
  })

  it('of fewer than 25 characters are not looked up', async () => {
    const before = await lookups()
    expect(await statusOf({ client_secret: 'sk-1234567890123456789a' })).toBe(401)
    expect(await lookups()).toEqual(before)
    const short = 'sk-123456789012345678901'
    await imported({}, short)
    expect([short.length, await statusOf({ client_secret: short })]).toEqual([24, 401])
  })
})

describe('without Postgres', () => {
  it('is known from the snapshot, and unknown ones are 401', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mintmark-lookup-'))
    const { secret, key } = await imported()
    const writer = await startReplica(mintmark, { MINTMARK_SNAPSHOT_DIR: folder })
    try {
      await caughtUp(writer)
      const { position } = writer.service.changes
      const headers = () => {
        const names = readdirSync(folder).filter(name => name.endsWith('.snapshot'))
        return Promise.all(names.map(name => readHeader<SnapshotHeader>(join(folder, name))))
      }
      await until('a snapshot has the secret', headers, all =>
        all.some(header => Number(header.position.number) >= Number(position)),
      )
      await writer.stop()
      const without = { DATABASE_URL: NO_SERVER, DATABASE_URL_DIRECT: NO_SERVER }
      const cut = await startReplica(mintmark, { MINTMARK_SNAPSHOT_DIR: folder, ...without })
      try {
        expect(admitted(await ask(cut, { headers: bearer(secret) })).claims.sub).toBe(key)
        expect((await exchange({ client_secret: newSecret() }, cut)).status).toBe(401)
      } finally {
        await cut.stop()
      }
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})

describe('after a change of the pepper', () => {
  it('is found by a replica that has the new one first', async () => {
    const { secret } = await imported()
    const { MINTMARK_PEPPERS = '' } = mintmark.environment
    const peppers = `p2:${randomBytes(32).toString('base64url')},${MINTMARK_PEPPERS}`
    const another = await startReplica(mintmark, { MINTMARK_PEPPERS: peppers })
    expect((await exchange({ client_secret: secret }, another)).status).toBe(200)
    await another.stop()
  })
})
