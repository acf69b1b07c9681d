import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { formatCredential, randomId } from '../../src/api-keys/api-key.ts'
import { postgresUrl } from '../../src/config/postgres-url.ts'
import { Database } from '../../src/database/database.ts'
import { databaseFault } from '../../src/database/database-fault.ts'
import { migrate } from '../../src/database/migrate.ts'
import { createLogger } from '../../src/system/logger.ts'
import { systemRandom } from '../../src/system/random.ts'
import { Postgres } from '../faults/environment/postgres.ts'
import { briskClock } from '../support/adjustable-clock.ts'
import { type Certificate, makeAuthority, makeCertificate } from '../support/certificates.ts'
import type { TestDatabase } from '../support/test-database.ts'
import { request, startTestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

/** A Postgres with a certificate for `localhost` of a private authority. Its roles differ in what pg_hba.conf demands. */
const AUTHORITY = makeAuthority('private authority')
/** As after a renewal: the same name, another key. */
const RENEWED = makeAuthority('private authority')
const STRANGER = makeAuthority('another authority')
const HBA = `
host    all postgres      127.0.0.1/32 trust
host    all mintmark      127.0.0.1/32 trust
hostssl all mintmark_tls  127.0.0.1/32 trust
hostssl all mintmark_cert 127.0.0.1/32 cert
`
const logger = createLogger('silent')
let postgres: Postgres
let directory: string

const of = (name: string, authority: Certificate, authorityName = 'private authority') =>
  makeCertificate(authority, { name, authorityName })
/** What the URL of this process names. */
async function place(name: string, content: string): Promise<string> {
  const path = join(directory, name)
  await writeFile(`${path}.new`, content)
  await rename(`${path}.new`, path)
  return path
}
async function server(certificate: Certificate, authority = AUTHORITY): Promise<void> {
  await configure({
    ssl: 'on',
    ssl_cert_file: await postgres.file('server.pem', certificate.certificate),
    ssl_key_file: await postgres.file('server.key', certificate.key),
    ssl_ca_file: await postgres.file('clients.pem', authority.certificate),
  })
}
/** New connections have it: the prefix shows that this reload is done, as files may have new content under the same name. */
async function configure(changes: Record<string, string>): Promise<void> {
  const settings: Record<string, string> = { ...changes, log_line_prefix: `${performance.now()}` }
  for (const [name, value] of Object.entries(settings))
    await postgres.sql(`ALTER SYSTEM SET ${name} = '${value}'`, [], 'postgres')
  await postgres.sql('SELECT pg_reload_conf()', [], 'postgres')
  const names = Object.keys(settings)
  const current = () => postgres.sql('SELECT name, setting FROM pg_settings WHERE name = ANY($1)', [names])
  await until('Postgres has read it', current, rows => rows.every(row => row.setting === settings[row.name]))
}

/** `TLS` or `plain`, or what an operator reads. */
async function connecting(
  parameters: string,
  { host = 'localhost', role = 'mintmark' } = {},
): Promise<string> {
  const url = postgresUrl(`postgres://${role}@${host}:${postgres.port}/mintmark${parameters}`).reveal()
  const attempt = async () => {
    const database = new Database({ url, maxConnections: 1, logger })
    const encrypted = sql<{ ssl: boolean }>`SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()`
    try {
      const { rows } = await database.run(db => encrypted.execute(db))
      return rows[0]?.ssl ? 'TLS' : 'plain'
    } catch (error) {
      return databaseFault(error) ?? `no fault of the database: ${error}`
    } finally {
      await database.close()
    }
  }
  // A busy machine may take longer than a connection may.
  return until('it answers', attempt, said => !/in time|timeout/.test(said), 30_000)
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mintmark-tls-'))
  postgres = await Postgres.create()
  for (const role of ['mintmark_tls', 'mintmark_cert'])
    await postgres.sql(`CREATE ROLE ${role} LOGIN IN ROLE mintmark_app`)
  await postgres.file('data/pg_hba.conf', HBA)
  await server(
    makeCertificate(AUTHORITY, {
      name: 'localhost',
      authorityName: 'private authority',
      dnsNames: ['localhost'],
    }),
  )
  await place('ca.pem', AUTHORITY.certificate)
  await place('renewed.pem', RENEWED.certificate)
  await place('stranger.pem', STRANGER.certificate)
  await place('text.pem', 'not a certificate\n')
  for (const [name, { certificate, key }] of Object.entries({
    client: of('mintmark_cert', AUTHORITY),
    other: of('another_role', AUTHORITY),
    foreign: of('mintmark_cert', STRANGER, 'another authority'),
  })) {
    await place(`${name}.pem`, certificate)
    await place(`${name}.key`, key)
  }
})
afterAll(async () => {
  await postgres?.remove()
  await rm(directory, { recursive: true, force: true })
})

const root = (name: string) => `&sslrootcert=${join(directory, name)}`
const client = (certificate: string, key = certificate) =>
  `&sslcert=${join(directory, `${certificate}.pem`)}&sslkey=${join(directory, `${key}.key`)}`
const LIBPQ = '&uselibpqcompat=true'
const PRIVATE_CA = /not from an authority that Node knows: name the file .*sslrootcert/
const ANOTHER_NAME = /for another name: use the name that it was issued for/
const NO_TLS = /does not support SSL connections \(set up TLS at the server, or use sslmode=disable/
const IP = '127.0.0.1'

describe('A server with a certificate of a private authority', () => {
  it.each<[parameters: () => string, expected: string | RegExp, host?: string]>([
    [() => '', 'plain'],
    [() => '?sslmode=disable', 'plain'],
    [() => '?sslmode=no-verify', 'TLS'],
    [() => '?sslmode=no-verify', 'TLS', IP],
    [() => '?sslmode=verify-full', PRIVATE_CA],
    [() => `?sslmode=verify-full${root('ca.pem')}`, 'TLS'],
    [() => `?sslmode=verify-full${root('ca.pem')}&sslnegotiation=direct`, 'TLS'],
    [() => `?sslmode=verify-full${root('ca.pem')}`, ANOTHER_NAME, IP],
    [() => `?sslmode=verify-full${root('stranger.pem')}`, PRIVATE_CA],
    [() => `?sslmode=verify-full${root('renewed.pem')}`, /signature.*sslrootcert/],
    [() => `?sslmode=verify-full${root('text.pem')}`, PRIVATE_CA],
    [() => `?sslmode=verify-full${root('missing.pem')}`, /ENOENT.*does not exist/],
    // The same as verify-full.
    [() => '?sslmode=prefer', PRIVATE_CA],
    [() => '?sslmode=require', PRIVATE_CA],
    [() => '?sslmode=verify-ca', PRIVATE_CA],
    [() => `?sslmode=prefer${root('ca.pem')}`, 'TLS'],
    [() => `?sslmode=require${root('ca.pem')}`, 'TLS'],
    [() => `?sslmode=verify-ca${root('ca.pem')}`, 'TLS'],
    [() => `?sslmode=verify-ca${root('ca.pem')}`, ANOTHER_NAME, IP],
    // As libpq means them.
    [() => `?sslmode=prefer${LIBPQ}`, 'TLS'],
    [() => `?sslmode=require${LIBPQ}`, 'TLS', IP],
    [() => `?sslmode=require${LIBPQ}${root('ca.pem')}`, 'TLS', IP],
    [() => `?sslmode=require${LIBPQ}${root('stranger.pem')}`, PRIVATE_CA],
    [() => `?sslmode=verify-ca${LIBPQ}${root('ca.pem')}`, 'TLS', IP],
    [() => `?sslmode=verify-ca${LIBPQ}${root('stranger.pem')}`, PRIVATE_CA],
    [() => `?sslmode=verify-full${LIBPQ}${root('ca.pem')}`, 'TLS'],
    [() => `?sslmode=verify-full${LIBPQ}${root('ca.pem')}`, ANOTHER_NAME, IP],
  ])('%# answers as the mode says', async (parameters, expected, host) => {
    const said = await connecting(parameters(), { ...(host && { host }) })
    expect([parameters(), said]).toEqual([
      parameters(),
      expected instanceof RegExp ? expect.stringMatching(expected) : expected,
    ])
  })

  it('a role that may connect only with TLS is refused without, with the cure', async () => {
    const role = 'mintmark_tls'
    expect(await connecting('', { role })).toMatch(/where the server requires TLS, add sslmode=verify-full/)
    expect(await connecting(`?sslmode=verify-full${root('ca.pem')}`, { role })).toBe('TLS')
  })

  it.each<[title: string, parameters: () => string, expected: string | RegExp]>([
    ['is refused without one', () => '', /client certificate.*sslcert and sslkey/],
    ['connects with one', () => client('client'), 'TLS'],
    ['is refused with one of another role', () => client('other'), /mintmark_cert.*sslcert/],
    ['is refused with one of another authority', () => client('foreign'), /authority.*sslcert/],
    ['is refused with the key of another', () => client('client', 'other'), /key.*sslkey/],
  ])('a role that needs a client certificate %s', async (_, parameters, expected) => {
    const said = await connecting(`?sslmode=verify-full${root('ca.pem')}${parameters()}`, {
      role: 'mintmark_cert',
    })
    expect(said).toEqual(expected instanceof RegExp ? expect.stringMatching(expected) : expected)
  })

  it('an expired certificate is refused by name', async () => {
    const options = { name: 'localhost', authorityName: 'private authority', dnsNames: ['localhost'] }
    await server(makeCertificate(AUTHORITY, { ...options, expired: true }))
    expect(await connecting(`?sslmode=verify-full${root('ca.pem')}`)).toMatch(
      /expired.*renew the certificate/,
    )
    await server(makeCertificate(AUTHORITY, options))
  })
})

describe('A server without TLS', () => {
  beforeEach(() => configure({ ssl: 'off' }))

  it.each(['?sslmode=verify-full', '?sslmode=require', '?sslmode=no-verify', `?sslmode=prefer${LIBPQ}`])(
    'is never used in plain text by %s',
    async parameters => {
      expect(await connecting(parameters)).toMatch(NO_TLS)
    },
  )

  it.each(['', '?sslmode=disable'])('is used in plain text by "%s"', async parameters => {
    expect(await connecting(parameters)).toBe('plain')
  })
})

it('a service and its migration use client certificates on every connection, and follow files that are renewed', async () => {
  const options = { name: 'localhost', authorityName: 'private authority', dnsNames: ['localhost'] }
  await server(makeCertificate(AUTHORITY, options))
  const url = `postgres://mintmark_cert@localhost:${postgres.port}/mintmark?sslmode=verify-full${root('ca.pem')}${client('client')}`
  const database: TestDatabase = {
    name: 'mintmark',
    ownerUrl: postgres.ownerUrl,
    applicationUrl: url,
    asOwner: (statement, values) => postgres.sql(statement, values),
    drop: async () => {},
  }
  expect(await migrate(url.replace('mintmark_cert@', 'postgres@'))).toEqual([])
  const mintmark = await startTestService({ database, overrides: { clock: briskClock } })
  try {
    const { secret } = await mintmark.tenantWithKey()
    const exchange = (presented: string) =>
      mintmark.token({ grant_type: 'client_credentials', client_secret: presented })
    const lookedUp = () => exchange(formatCredential('mmk', randomId(systemRandom), systemRandom))
    const sessions = (ssl: boolean) =>
      database.asOwner(
        "SELECT 1 FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE usename = 'mintmark_cert' AND ssl = $1",
        [ssl],
      )
    expect((await sessions(true)).length).toBeGreaterThan(1)
    expect(await sessions(false)).toEqual([])

    await server(makeCertificate(RENEWED, options), RENEWED)
    await database.asOwner(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'mintmark_cert'",
    )
    const { body } = await until(
      'readyz says it',
      () => request(`${mintmark.service.urls.ops}/readyz`),
      answer => /sslrootcert/.test(answer.body.warning),
      30_000,
    )
    expect(body.status).toBe('ready')
    expect((await exchange(secret)).status).toBe(200)

    const renewed = of('mintmark_cert', RENEWED)
    await place('ca.pem', RENEWED.certificate)
    await place('client.key', renewed.key)
    await place('client.pem', renewed.certificate)
    await until('it connects again', lookedUp, ({ status }) => status === 401, 30_000)
    expect(await sessions(false)).toEqual([])
  } finally {
    await mintmark.stop()
  }
})
