import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { formatCredential } from '../src/api-keys/api-key.ts'
import { KeyEncryption } from '../src/signing-keys/key-encryption.ts'
import { createLogger } from '../src/system/logger.ts'
import { systemRandom } from '../src/system/random.ts'
import { Secret } from '../src/system/secret.ts'
import { basic, misplacedInForms, misplacedInHeaders, misplacedInJson } from './support/misplaced-secrets.ts'
import { type Canary, findCanaries } from './support/secret-canary.ts'
import { createTestDatabase, type TestDatabase } from './support/test-database.ts'
import { request, startTestService, type TestService } from './support/test-service.ts'
import { until } from './support/until.ts'

/**
 * Plants secrets, sends them to the right places and to every wrong one, provokes every kind of response, and then
 * searches for them in everything that the service has sent, logged and stored.
 */

const CONTROL = `harmless-${randomBytes(16).toString('hex')}`
/** A secret of another format: our own keys are also redacted in log lines by their format. */
const foreign = `pa55-${randomBytes(20).toString('hex')}`

let mintmark: TestService
let broken: TestService
let database: TestDatabase
const canaries: Canary[] = [{ name: 'a foreign secret', value: foreign }]

interface Answer {
  status: number
  headers: string
  /** Without the one member that may contain a secret. */
  body: string
  /** The values that root had put into the request, which may be echoed. */
  own: string
}
const answers: Answer[] = []

async function send(url: string, init: RequestInit & { headers?: Record<string, string> } = {}) {
  const { status, headers, text, body } = await request(url, init)
  const fromRoot = init.headers?.authorization === `Bearer ${mintmark.rootToken}`
  answers.push({
    status,
    headers: JSON.stringify([...headers]),
    body: [body?.secret, body?.access_token].reduce(
      (rest, secret) => (secret ? rest.replace(secret, '') : rest),
      text,
    ),
    own: fromRoot ? `${decodeURIComponent(url)} ${init.body ?? ''}` : '',
  })
  return { status, body }
}

/** Keys and admin tokens are never echoed, whatever the caller did with them. */
const mayBeToldBack = ({ value }: Canary, { own }: Answer) =>
  typeof value === 'string' && !/^mm[kar]_|^eyJ/.test(value) && own.includes(value)

const asRoot = (headers: Record<string, string> = {}): Record<string, string> => ({
  authorization: `Bearer ${mintmark.rootToken}`,
  ...headers,
})
const json = { 'content-type': 'application/json' }
const form = { 'content-type': 'application/x-www-form-urlencoded' }
const admin = (service: TestService, method: string, path: string, body?: string, headers = asRoot(json)) =>
  send(`${service.service.urls.admin}/admin/v1${path}`, {
    method,
    headers,
    ...(body !== undefined && { body }),
  })
const exchange = (service: TestService, body: string, headers: Record<string, string> = {}, query = '') =>
  send(`${service.service.urls.public}/oauth/token${query}`, {
    method: 'POST',
    headers: { ...form, ...headers },
    body,
  })
const grant = (secret: string) => `grant_type=client_credentials&client_secret=${encodeURIComponent(secret)}`

function plant(name: string, value: string | Buffer | undefined): void {
  if (!value) throw new Error(`nothing to plant for ${name}`)
  canaries.push({ name, value })
}

async function newKey(service: TestService, tenant: string) {
  const { body } = await admin(service, 'POST', `/tenants/${tenant}/keys`, JSON.stringify({ name: 'canary' }))
  plant(`the API key ${body.id}`, body.secret)
  return { id: body.id as string, secret: body.secret as string, secretId: body.secret_id as string }
}

beforeAll(async () => {
  database = await createTestDatabase()
  mintmark = await startTestService({ database, env: { LOG_LEVEL: 'trace', NODE_ENV: 'development' } })
  plant('the root token', mintmark.rootToken)
  plant('the database password', inject('postgres').applicationPassword)
  for (const variable of ['MINTMARK_PEPPERS', 'MINTMARK_ENCRYPTION_KEYS']) {
    const [id = '', encoded = ''] = mintmark.environment[variable]?.split(':') ?? []
    plant(`${variable} ${id}`, encoded)
    plant(`${variable} ${id}, its bytes`, Buffer.from(encoded, 'base64url'))
  }
  await admin(mintmark, 'POST', '/tenants', JSON.stringify({ id: 'leak', description: CONTROL }))
  const key = await newKey(mintmark, 'leak')
  await rightPlaces(key)
  for (const secret of [key.secret, mintmark.rootToken, foreign]) await wrongPlaces(secret, key.id)
  await signingKeys()
  await serverFaults()
  await send(`${mintmark.service.urls.ops}/metrics`)
}, 120_000)
afterAll(async () => {
  await mintmark.stop()
  await broken?.stop()
  await database.drop()
})

/** Every route, used correctly, in every state of a key. */
async function rightPlaces(key: Awaited<ReturnType<typeof newKey>>): Promise<void> {
  const paths = [
    '/tenants',
    '/tenants/leak',
    '/tenants/leak/keys',
    '/keys',
    `/keys/${key.id}`,
    '/tiers',
    '/models',
    '/adapters',
    '/installation',
    '/signing-keys',
  ]
  for (const path of paths) await admin(mintmark, 'GET', path)
  for (const headers of [{}, { authorization: basic(key.id, key.secret) }]) {
    const { body } = await exchange(
      mintmark,
      'authorization' in headers ? 'grant_type=client_credentials' : grant(key.secret),
      headers,
    )
    expect(body.token_type).toBe('Bearer')
    plant('an access token', body.access_token)
  }
  const rotated = await admin(mintmark, 'POST', `/keys/${key.id}/rotate`, '{}')
  plant('a rotated secret', rotated.body.secret)
  await admin(mintmark, 'POST', `/keys/${key.id}/rotate`, '{}')
  const other = await newKey(mintmark, 'leak')
  for (const [action, secret] of [
    ['disable', other.secret],
    ['enable', `${other.secret.slice(0, -1)}!`],
    ['revoke', other.secret],
  ] as const) {
    await admin(mintmark, 'POST', `/keys/${other.id}/${action}`)
    await exchange(mintmark, grant(secret))
    await exchange(mintmark, 'grant_type=client_credentials', { authorization: basic('wrong', secret) })
  }
  await admin(mintmark, 'POST', '/tenants/leak/suspend')
  await exchange(mintmark, grant(key.secret))
  await admin(mintmark, 'POST', '/tenants/leak/resume')
}

/** A secret in a wrong place, at every endpoint. */
async function wrongPlaces(secret: string, keyId: string): Promise<void> {
  const encoded = encodeURIComponent(secret)
  const { urls } = mintmark.service
  await exchange(mintmark, grant(secret), {}, `?client_secret=${encoded}`)
  for (const body of misplacedInForms(secret)) await exchange(mintmark, body)
  await exchange(mintmark, `{"client_secret":"${secret}"`, json)
  for (const odd of misplacedInHeaders(secret)) {
    await exchange(mintmark, 'grant_type=client_credentials', odd)
    await admin(mintmark, 'POST', '/tenants', '{}', { ...json, ...odd })
    await admin(mintmark, 'GET', `/keys/${keyId}`, undefined, { ...odd, ...asRoot() })
  }
  const paths = ['/tenants', '/keys', '/tiers', '/models', '/adapters', '', `/keys/${keyId}/secrets`]
  for (const path of paths) {
    await admin(mintmark, 'GET', `${path}/${encoded}`)
    await admin(mintmark, 'POST', `${path}/${encoded}/revoke`)
    await admin(mintmark, 'GET', `/tenants?cursor=${encoded}&limit=${encoded}&${encoded}=1`)
    await send(`${urls.public}${path}/${encoded}`)
    await send(`${urls.ops}${path}/${encoded}?key=${encoded}`)
  }
  await admin(mintmark, 'DELETE', `/tenants/leak?cascade=${encoded}`)
  await admin(mintmark, 'DELETE', `/models/${encoded}`)
  await send(`${urls.public}/.well-known/jwks/${encoded}.pem`)
  for (const body of misplacedInJson(secret)) {
    for (const [method, path] of [
      ['POST', '/tenants'],
      ['PATCH', '/tenants/leak'],
      ['POST', '/tenants/leak/keys'],
      ['PATCH', `/keys/${keyId}`],
      ['PUT', '/tiers/leak'],
      ['PUT', '/adapters/leak'],
      ['POST', `/keys/${keyId}/rotate`],
      ['POST', `/keys/${keyId}/enable`],
    ] as const) {
      await admin(mintmark, method, path, body)
      await admin(mintmark, method, path, body, asRoot({ 'content-type': 'text/plain' }))
    }
  }
}

/** The private keys themselves, which only the process has. */
async function signingKeys(): Promise<void> {
  await admin(mintmark, 'POST', '/signing-keys/rotate')
  const [id = '', encoded = ''] = mintmark.environment.MINTMARK_ENCRYPTION_KEYS?.split(':') ?? []
  const keys = [{ id, key: new Secret(Buffer.from(encoded, 'base64url')) }]
  const encryption = new KeyEncryption({ keys, random: systemRandom })
  const rows = await database.asOwner<{ kid: string; bytes: Buffer }>(
    'SELECT kid, private_encrypted AS bytes FROM signing_keys',
  )
  for (const { kid, bytes } of rows) {
    const { d } = await encryption.decrypt(kid, { encryptionKeyId: id, bytes })
    plant(`the private key of ${kid}`, d)
    plant(`the private key of ${kid}, its bytes`, Buffer.from(d ?? '', 'base64url'))
  }
}

/** Our faults: dropped tables, an unexpected error, a rejected password. */
async function serverFaults(): Promise<void> {
  const {
    MINTMARK_ROOT_TOKEN = '',
    MINTMARK_PEPPERS = '',
    MINTMARK_ENCRYPTION_KEYS = '',
  } = mintmark.environment
  broken = await startTestService({
    env: { LOG_LEVEL: 'trace', MINTMARK_ROOT_TOKEN, MINTMARK_PEPPERS, MINTMARK_ENCRYPTION_KEYS },
  })
  const key = await broken.tenantWithKey({ id: 'broken' })
  plant('an API key whose table is gone', key.secret)
  const unknown = formatCredential('mmk', key.keyId.slice('key_'.length), systemRandom)
  plant('an unknown key', unknown)
  await broken.database.asOwner('ALTER TABLE api_key_secrets RENAME TO gone')
  const unavailable = [
    await exchange(broken, grant(unknown)),
    await exchange(broken, 'grant_type=client_credentials', { authorization: basic('broken', unknown) }),
    await admin(broken, 'POST', '/tenants/broken/keys', JSON.stringify({ name: foreign })),
    await admin(broken, 'GET', `/keys/${key.keyId}`),
  ]
  expect(unavailable.map(({ status }) => status)).toEqual([503, 503, 503, 503])
  // A fault that does not pass by itself.
  await broken.database.asOwner('CREATE VIEW api_key_secrets AS SELECT * FROM gone WHERE 1 / 0 = 1')
  await broken.database.asOwner('GRANT SELECT ON api_key_secrets TO mintmark_app')
  const faults = [
    await exchange(broken, grant(unknown)),
    await exchange(broken, 'grant_type=client_credentials', { authorization: basic('broken', unknown) }),
    await admin(broken, 'GET', `/keys/${key.keyId}`),
    await admin(broken, 'GET', `/keys/${key.keyId}?x=1`),
  ]
  expect(faults.map(({ status }) => status)).toEqual([500, 500, 500, 500])
  expect((await exchange(broken, grant(key.secret))).status, 'a known key').toBe(200)
  await broken.stop()

  const url = new URL(database.applicationUrl)
  url.password = foreign
  const refused = await startTestService({
    database,
    env: { DATABASE_URL: url.href, LOG_LEVEL: 'trace' },
    awaitReady: false,
  })
  await until('it has tried', () => refused.logs.some(line => line.includes('not ready')))
  await send(`${refused.service.urls.ops}/readyz`)
  await exchange(refused, grant(key.secret))
  await refused.stop()
  mintmark.logs.push(...refused.logs)
}

async function dump(): Promise<string> {
  const tables = await database.asOwner<{ name: string }>(
    "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'",
  )
  const rows = await Promise.all(
    tables.map(({ name }) =>
      database.asOwner<{ text: string }>(`SELECT '${name} ' || t::text AS text FROM ${name} AS t`),
    ),
  )
  return rows
    .flat()
    .map(({ text }) => text)
    .join('\n')
}

describe('the search is effective', () => {
  it('a harmless string that was planted in a description is found in the database', async () => {
    expect(findCanaries(await dump(), [{ name: 'control', value: CONTROL }])).toEqual(['control as it is'])
  })

  it.each([
    ['as it is', (value: string) => value],
    ['URL-encoded', encodeURIComponent],
    ['in base64', (value: string) => Buffer.from(value).toString('base64')],
    ['in base64', (value: string) => basic('a', value)],
    ['in base64', (value: string) => basic('ab', value)],
    ['in base64', (value: string) => basic('abc', value)],
    ['in base64url', (value: string) => Buffer.from(value).toString('base64url')],
    ['in hex', (value: string) => Buffer.from(value).toString('hex').toUpperCase()],
  ])('a secret that is logged on purpose is found %s', (how, encode) => {
    const value = `s3cr%t/ÿÿ>?~~${randomBytes(8).toString('hex')}`
    const lines: string[] = []
    createLogger('info', { write: line => void lines.push(line) }).info(
      { url: `https://x/?q=${encode(value)}&r` },
      'request',
    )
    expect(findCanaries(lines.join(''), [{ name: 'canary', value }])).toEqual([`canary ${how}`])
  })
})

describe('no planted secret is', () => {
  it('in a log line, at any level', () => {
    const lines = [...mintmark.logs, ...broken.logs]
    expect(lines.length).toBeGreaterThan(500)
    const leaks = lines.filter(line => findCanaries(line, canaries).length > 0)
    expect(leaks.slice(0, 5)).toEqual([])
  })

  it('in a response or its headers, except the 201 or the token itself', () => {
    const leaks = answers.flatMap(answer => {
      const sought = canaries.filter(canary => !mayBeToldBack(canary, answer))
      return findCanaries(answer.headers + answer.body, sought).map(
        found => `${found}: ${answer.status} ${answer.body.slice(0, 300)}`,
      )
    })
    expect(answers.length).toBeGreaterThan(500)
    expect(leaks.slice(0, 5)).toEqual([])
  })

  it('in the database', async () => {
    const text = await dump()
    expect(text.length).toBeGreaterThan(2_000)
    expect(findCanaries(text, canaries)).toEqual([])
  })
})

describe('an internal error', () => {
  const faults = () => answers.filter(({ status }) => status === 500)

  it('has the same response whatever the cause, at both endpoints', () => {
    const bodies = faults().map(({ body }) => body.replace(/"request_id":"[0-9a-f-]{36}"/, ''))
    expect(bodies.length).toBeGreaterThanOrEqual(4)
    expect(new Set(bodies).size).toBe(2)
  })

  it('is in the log under its request id, with its cause', () => {
    for (const { headers } of faults()) {
      const id = /"x-request-id","([0-9a-f-]{36})"/.exec(headers)?.[1] ?? 'none'
      const line = JSON.parse(broken.logs.find(logged => logged.includes(id)) ?? '{}')
      expect(line).toMatchObject({ level: 'error', status: 500, request_id: id })
      expect(line.err.message).toBe('division by zero')
    }
  })
})
