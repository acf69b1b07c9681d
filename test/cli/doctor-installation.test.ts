import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { listenerFindings } from '../../src/cli/doctor/listener-checks.ts'
import { makeAuthority, makeCertificate } from '../support/certificates.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { cliOf, mintmark, mintmarkProcess } from './mintmark.ts'

const ISSUER = 'https://tokens.example.test'

let service: TestService
let cli: ReturnType<typeof cliOf>
let folder: string
/** Ends TLS for the issuer, which has no address in DNS. */
let proxy: Server
let connectTo: string[]
let ca: string
const trusted = getCACertificates('default')

beforeAll(async () => {
  service = await startTestService()
  cli = cliOf(service)
  folder = await mkdtemp(join(tmpdir(), 'mintmark-doctor-'))
  const authority = makeAuthority('test')
  const options = { name: 'tokens.example.test', authorityName: 'test', dnsNames: ['tokens.example.test'] }
  const { certificate: cert, key } = makeCertificate(authority, options)
  ca = join(folder, 'ca.pem')
  await writeFile(ca, authority.certificate)
  setDefaultCACertificates([...trusted, authority.certificate])
  proxy = createServer({ cert, key }, (req, res) => {
    const { headers, url: path = '/' } = req
    request(service.service.urls.public, { path, headers }, answer => {
      res.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.pipe(res)
    }).end()
  })
  await new Promise<void>(resolve => proxy.listen(0, '127.0.0.1', resolve))
  const { port } = proxy.address() as AddressInfo
  connectTo = ['--connect-to', `tokens.example.test:443:127.0.0.1:${port}`]
})
afterAll(async () => {
  setDefaultCACertificates(trusted)
  proxy.closeAllConnections()
  proxy.close()
  await service.stop()
  await rm(folder, { recursive: true })
})

const doctor = (args: string[], env: Record<string, string> = {}) =>
  mintmark(['doctor', ...connectTo, ...args], { env: { ...cli.env, ...env } })

describe('mintmark doctor for an installation', () => {
  it('checks an issuer that is not in DNS yet, over TLS, with MINTMARK_ADMIN_TOKEN and without --issuer', async () => {
    const { MINTMARK_TOKEN, ...rest } = cli.env
    const env = { ...rest, MINTMARK_ADMIN_TOKEN: String(MINTMARK_TOKEN), NODE_EXTRA_CA_CERTS: ca }
    const args = ['doctor', ...connectTo, '--ops', service.service.urls.ops]
    const { code, stdout, stderr } = await mintmarkProcess(args, { env })
    expect({ code, stderr }).toEqual({ code: 0, stderr: 'No problems found.\n' })
    for (const line of [
      `ok +issuer +the metadata has exactly "${ISSUER}"`,
      'ok +replicas +1 serve',
      'ok +peppers +everything uses p1',
      'ok +rotation +ES256 .* has signed for \\d+ s of 2592000 s',
      'ok +revocations +the list of revoked tokens has 0 entries',
      'ok +replica +http://.* is ready, version ',
      'ok +service clock ',
      'ok +sealed rows ',
      '- +database +not checked',
    ])
      expect(stdout).toMatch(new RegExp(line))
  })

  it('compares the certificate with the name of the issuer', async () => {
    const other = connectTo[1]?.replace('tokens.', 'other.') ?? ''
    const args = ['doctor', '--issuer', 'https://other.example.test', '--connect-to', other]
    const { code, stdout } = await mintmark(args)
    expect(code).toBe(5)
    expect(stdout).toMatch(
      /FAULT +discovery +the certificate of https:\/\/other\.example\.test was not accepted/,
    )
  })

  it('says what it could not ask of the service, and ends with the cure', async () => {
    const { code, stdout, stderr } = await doctor(['--issuer', ISSUER], {
      MINTMARK_TOKEN: 'wrong-token-wrong',
    })
    expect(code).toBe(5)
    expect(stdout).toMatch(/FAULT +service /)
    expect(stderr).toMatch(/1 of \d+ checks failed\.\n {2}service: Check MINTMARK_URL/)
  })

  it('names the identity provider whose keys cannot be fetched, and why', async () => {
    const { body } = await service.admin('POST', '/identity-providers', {
      ...{ name: 'ci', kind: 'oidc', issuer: 'https://issuer.invalid', audiences: [ISSUER] },
      jwks_uri: 'https://issuer.invalid/keys',
    })
    const findings = JSON.parse((await doctor(['-o', 'json'])).stdout) as { check: string; message: string }[]
    const [found] = findings.filter(({ check }) => check === 'identity provider')
    expect(found?.message).toContain(body.id)
    await service.admin('DELETE', `/identity-providers/${body.id}`)
  })

  it('finds usage reporters that are silent', async () => {
    const { body } = await service.admin('POST', '/usage-reporters', { name: 'eu', audiences: ['vllm'] })
    expect((await doctor([])).stdout).not.toContain(body.id)
    await service.database.asOwner(
      `UPDATE usage_reporters SET created_at = now() - interval '2 days' WHERE id = '${body.id}'`,
    )
    const { code, stdout, stderr } = await doctor([])
    expect(code).toBe(0)
    expect(stdout).toMatch(new RegExp(`warning +usage reporter +${body.id} "eu" reported nothing`))
    expect(stderr).toMatch(/^No faults, 1 warnings\.\n {2}usage reporter: /)
    await service.admin('DELETE', `/usage-reporters/${body.id}`)
  })
})

describe('mintmark doctor in the environment of the service', () => {
  const checks = (env: Record<string, string>) =>
    doctor(['--issuer', ISSUER], { ...service.environment, ...env })

  it('checks configuration and database', async () => {
    const { stdout } = await checks({})
    for (const line of [
      'ok +listeners ',
      'warning +proxies ',
      'warning +mode ',
      'warning +snapshot +MINTMARK_SNAPSHOT_DIR is not set',
      'ok +schema +all migrations are applied',
      'ok +role +DATABASE_URL connects as an application role',
      'ok +database clock ',
      'ok +restore ',
    ])
      expect(stdout).toMatch(new RegExp(line))
  })

  it('recommends to remove a root token that is set, and only that', async () => {
    const recommended = /^- +root token +MINTMARK_ROOT_TOKEN is set/m
    expect((await checks({})).stdout).toMatch(recommended)
    expect((await checks({ MINTMARK_ROOT_TOKEN: '' })).stdout).not.toMatch(recommended)
  })

  it.each<[string, (base: TestDatabase) => Record<string, string>, RegExp]>([
    [
      'a fault in the configuration',
      () => ({ MINTMARK_PUBLIC_PORT: 'many' }),
      /FAULT +configuration .*MINTMARK_PUBLIC_PORT/,
    ],
    [
      'a database that does not answer',
      () => ({ DATABASE_URL: 'postgres://a:b@127.0.0.1:1/x' }),
      /FAULT +database /,
    ],
    [
      'the role of the owner',
      base => ({ DATABASE_URL: base.ownerUrl }),
      /warning +role +DATABASE_URL connects as the role that owns/,
    ],
    ['another pepper', () => ({ MINTMARK_PEPPERS: `p1:${'A'.repeat(43)}` }), /FAULT +secrets /],
    [
      'another issuer',
      () => ({ MINTMARK_ISSUER: 'https://other.example.test' }),
      /FAULT +issuer +MINTMARK_ISSUER is/,
    ],
  ])('finds %s', async (_, change, expected) => {
    const { stdout } = await checks(change(service.database))
    expect(stdout).toMatch(expected)
    expect(stdout).not.toContain('a:b@')
  })

  it('reads the newest snapshot as a replica would, and says how old it is', async () => {
    const dir = join(folder, 'snapshots')
    const missing = await checks({ MINTMARK_SNAPSHOT_DIR: dir })
    expect(missing.stdout).toMatch(/FAULT +snapshot /)
    await mkdir(dir)
    const writer = await startTestService({
      env: { ...service.environment, MINTMARK_SNAPSHOT_DIR: dir },
      database: service.database,
    })
    await until(
      'a snapshot is written',
      async () => (await checks({ MINTMARK_SNAPSHOT_DIR: dir })).stdout,
      stdout => /ok +snapshot +the newest in .* can be read/.test(stdout),
      45_000,
    )
    const other = `e1:${'A'.repeat(43)}`
    const { stdout } = await checks({ MINTMARK_SNAPSHOT_DIR: dir, MINTMARK_ENCRYPTION_KEYS: other })
    expect(stdout).toMatch(/FAULT +snapshot /)
    await writer.stop()
  })

  it('finds a database without the schema', async () => {
    const empty = await createTestDatabase({ empty: true })
    const { code, stdout } = await checks({ DATABASE_URL: empty.applicationUrl })
    await empty.drop()
    expect(code).toBe(5)
    expect(stdout).toMatch(/FAULT +schema +the database lacks the migrations /)
  })
})

describe('mintmark doctor for gateways', () => {
  const envoy = async (change: (text: string) => string) => {
    const file = join(folder, 'envoy.yaml')
    const text = await readFile(new URL('../../deploy/envoy/envoy.yaml', import.meta.url), 'utf8')
    await writeFile(file, change(text.replaceAll('https://tokens.example.com', ISSUER)))
    return doctor(['--gateway', file])
  }

  it.each<[string, (text: string) => string, RegExp]>([
    ['the file of this version', text => text, /ok +contract .*has contract number (\d+), the service \1/],
    [
      'no number',
      text => text.replace(/Contract number/, 'Number'),
      /warning +contract .*has no contract number/,
    ],
    [
      'a much newer number',
      text => text.replace(/Contract number: \d+/, 'Contract number: 99'),
      /FAULT +contract /,
    ],
    [
      'the issuer of the example',
      text => text.replaceAll(ISSUER, 'https://tokens.example.com'),
      /FAULT +gateway issuer .*issuer of the example/,
    ],
    [
      'an issuer with a slash',
      text => text.replaceAll(ISSUER, `${ISSUER}/`),
      /FAULT +gateway issuer .*more after it/,
    ],
    [
      'the issuer of another installation',
      text => text.replaceAll(ISSUER, 'https://elsewhere.example.test'),
      /FAULT +gateway issuer .* has the issuer "https:\/\/elsewhere\.example\.test", and not "[^"]+": it rejects every token/,
    ],
    [
      'another audience',
      text => text.replaceAll('audiences: [vllm]', 'audiences: [other]').replaceAll('vllm', 'engine'),
      /warning +gateway audience /,
    ],
  ])('reads a file with %s', async (_, change, expected) => {
    expect((await envoy(change)).stdout).toMatch(expected)
  })

  it('asks one that runs', async () => {
    const { secret } = await service.tenantWithKey()
    const key = join(folder, 'token')
    const { body } = await service.token({ grant_type: 'client_credentials', client_secret: secret })
    await writeFile(key, body.access_token)
    const { stdout } = await doctor(['--gateway', service.service.urls.gateway, '--token', key])
    expect(stdout).toMatch(/ok +gateway .* answers 401 without a credential/)
    expect(stdout).toMatch(/ok +gateway .* accepts the token/)
    const open = await doctor(['--gateway', service.service.urls.admin.replace(/$/, '/admin/reference?')])
    expect(open.stdout).toMatch(/FAULT +gateway /)
  })
})

describe('mintmark doctor --probe', () => {
  it('finds listeners that are open to the outside, and only there', async () => {
    const portOf = (url: string) => Number(new URL(url).port)
    const { urls } = service.service
    const ports = [
      { name: 'public', port: portOf(urls.public), isPublic: true },
      { name: 'admin', port: portOf(urls.admin), isPublic: false },
      { name: 'other', port: 1, isPublic: false },
    ]
    const levels = async (isOutside: boolean) =>
      (await listenerFindings('127.0.0.1', { isOutside, ports })).map(({ level }) => level)
    expect(await levels(true)).toEqual(['note', 'fault', 'ok'])
    expect(await levels(false)).toEqual(['note', 'note', 'note'])
  })

  it('with --outside takes a closed listener for what it should be, without it for nothing', async () => {
    const probe = async (...args: string[]) => {
      const given = ['--issuer', ISSUER, '--probe', 'nowhere.invalid', ...args, '-o', 'json']
      const findings: { check: string; level: string }[] = JSON.parse((await doctor(given)).stdout)
      return findings.flatMap(({ check, level }) => (check.endsWith(' listener') ? [level] : []))
    }
    expect(await probe()).toEqual(Array(8).fill('note'))
    expect(await probe('--outside')).toEqual(['note', ...Array(7).fill('ok')])
  })

  it('refuses a --connect-to of another form', async () => {
    for (const text of ['tokens.example.test', 'a:b:c:d', ':::', 'a:1:b'])
      expect((await mintmark(['doctor', '--issuer', ISSUER, '--connect-to', text])).code).toBe(2)
  })
})
