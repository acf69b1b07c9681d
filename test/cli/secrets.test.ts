import { randomBytes } from 'node:crypto'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestService, type TestService } from '../support/test-service.ts'
import { cliOf, mintmark, mintmarkProcess } from './mintmark.ts'

let service: TestService
let cli: ReturnType<typeof cliOf>
let secret: string
let jwt: string

beforeAll(async () => {
  service = await startTestService()
  cli = cliOf(service)
  secret = (await service.tenantWithKey({ id: 'acme' })).secret
  jwt = (await service.token({ grant_type: 'client_credentials', client_secret: secret })).body.access_token
})
afterAll(() => service.stop())

describe('a secret on the command line', () => {
  it.each([
    ['a key as an argument', () => ['token', 'get', secret]],
    ['a key in an option', () => ['token', 'get', '--key-file', secret]],
    ['a key in an unknown option', () => ['token', 'get', `--api-key=${secret}`]],
    ['a key behind --', () => ['token', 'get', '--', secret]],
    ['a key as a command', () => [secret]],
    ['an admin token', () => ['tenant', 'list', `--token=${secret.replace('mmk_', 'mma_')}`]],
    ['the token of an introspector', () => ['whoami', secret.replace('mmk_', 'mmi_')]],
    ['the token of a usage reporter', () => ['whoami', secret.replace('mmk_', 'mmr_')]],
    ['a JWT', () => ['token', 'inspect', jwt]],
  ])('is refused before anything is done, and not repeated: %s', async (_, args) => {
    const { code, stdout, stderr } = await cli.attempt(args())
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain('a key or token is on the command line. Nothing was done')
    expect(stderr).not.toContain(secret.slice(20))
    expect(stderr).not.toContain(jwt.slice(-40))
  })

  it.each([
    ['--token=hunter2hunter2', "unknown option '--token'"],
    ['--password=hunter2=hunter2', "unknown option '--password'"],
    ['-phunter2', "unknown option '-p'"],
    ["--token=hunter2'\nhunter2", "unknown option '--token'"],
  ])(
    'of any other form has no option that takes it, and the error leaves it out: %j',
    async (option, words) => {
      const commands = [['tenant', 'list'], ['token', 'get'], ['serve'], []]
      for (const outcome of commands.map(command => cli.attempt([...command, option]))) {
        const { code, stdout, stderr } = await outcome
        expect({ code, stdout, stderr }).toMatchObject({
          code: 2,
          stdout: '',
          stderr: expect.stringContaining(words),
        })
        expect(stderr).not.toContain('hunter2')
      }
    },
  )
})

describe('mintmark config', () => {
  const secrets = {
    DATABASE_URL: 'postgres://app:hunter2-app@127.0.0.1/mintmark',
    MIGRATE_DATABASE_URL: 'postgres://owner:hunter2-owner@127.0.0.1/mintmark',
    MINTMARK_ROOT_TOKEN: `hunter2-${randomBytes(24).toString('hex')}`,
    MINTMARK_PEPPERS: `p1:${randomBytes(32).toString('base64url')}`,
    MINTMARK_ENCRYPTION_KEYS: `e1:${randomBytes(32).toString('base64url')}`,
  }

  it('prints the effective configuration without any secret', async () => {
    const { code, stdout, stderr } = await mintmark(['config'], {
      env: { ...secrets, MINTMARK_AUDIENCE: 'engine' },
    })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(JSON.parse(stdout)).toMatchObject({ audience: 'engine' })
    expect(stdout).toContain('[redacted]')
    for (const [name, value] of Object.entries(secrets)) {
      for (const part of ['hunter2', value, value.slice(3), value.slice(-20)])
        expect(stdout, name).not.toContain(part)
    }
  })

  it('--sources says where each value comes from, and no value', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mintmark-sources-'))
    await writeFile(join(folder, 'url'), secrets.DATABASE_URL)
    const { DATABASE_URL: _url, ...others } = secrets
    const env = { ...others, DATABASE_URL_FILE: join(folder, 'url') }
    const { code, stdout } = await mintmark(['config', '--sources'], { env })
    expect(code).toBe(0)
    expect(stdout).toMatch(/^DATABASE_URL +DATABASE_URL_FILE: \S+\/url$/m)
    expect(stdout).toMatch(/^MINTMARK_PEPPERS +environment$/m)
    expect(stdout).toMatch(/^MINTMARK_PUBLIC_PORT +default: 8080 \(0 to 65535\)$/m)
    expect(stdout).toMatch(
      /^MINTMARK_SIGNING_ALG +default: `ES256`; after the first start the installation record$/m,
    )
    for (const value of Object.values(secrets)) expect(stdout).not.toContain(value)
    const trial = await mintmark(['config', '--sources'], { env: { MINTMARK_KEYS_DIR: folder } })
    expect(trial.stdout).toContain(`generated for development: ${join(folder, 'peppers')}`)
  })

  it('lists every fault at once, without any secret', async () => {
    const env = {
      ...secrets,
      MINTMARK_PEPPERS: 'p1:hunter2',
      MINTMARK_ENCRYPTION_KEYS: 'hunter2',
      MINTMARK_TOKEN_TTL_SECONDS: '5m',
    }
    const { code, stdout, stderr } = await mintmark(['config'], { env })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    for (const name of ['MINTMARK_PEPPERS', 'MINTMARK_ENCRYPTION_KEYS', 'MINTMARK_TOKEN_TTL_SECONDS'])
      expect(stderr).toContain(name)
    expect(stderr).not.toContain('hunter2')
  })

  it('--table prints the documentation of all variables', async () => {
    const { code, stdout } = await mintmark(['config', '--table'])
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('| `DATABASE_URL` |') })
  })
})

describe('mintmark migrate', () => {
  it('brings the schema up to date and never prints the URL', async () => {
    const env = { MIGRATE_DATABASE_URL: service.database.ownerUrl }
    const { code, stdout, stderr } = await mintmarkProcess(['migrate'], { env })
    expect({ code, stderr, stdout }).toEqual({
      code: 0,
      stderr: '',
      stdout: expect.stringContaining('The schema is up to date.'),
    })
  })

  it('without a database is a fault that names the variable', async () => {
    expect(await mintmark(['migrate'])).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('MIGRATE_DATABASE_URL'),
    })
  })
})
