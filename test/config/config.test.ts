import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { type Config, readConfig, readMigrateDatabase } from '../../src/config/config.ts'
import { ConfigError, Env } from '../../src/config/env.ts'

const key = (id: string) => `${id}:${randomBytes(32).toString('base64url')}`
const DATABASE = {
  DATABASE_URL: 'postgres://mintmark:database-password@db.example:5432/mintmark',
  MINTMARK_PEPPERS: key('p1'),
  MINTMARK_ENCRYPTION_KEYS: key('e1'),
}
const WITHOUT_PASSWORD = { ...DATABASE, DATABASE_URL: 'postgres://mintmark@db.example:5432/mintmark' }
const PRODUCTION = { ...DATABASE, NODE_ENV: 'production', MINTMARK_ISSUER: 'https://tokens.example.com' }

const read = (values: Record<string, string>): Config => readConfig(new Env(values))
/** The lines of the message, without the heading; none when there is no fault. */
function faults(values: Record<string, string>): string[] {
  try {
    read(values)
    return []
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    return (error as Error).message
      .split('\n')
      .slice(1)
      .map(line => line.replace(/^ {2}- /, ''))
  }
}

describe('without any variable', () => {
  it('it is development on an embedded database, on the loopback interface, with the documented defaults', () => {
    expect(read({})).toMatchObject({
      production: false,
      embedded: true,
      databaseUrl: undefined,
      issuer: undefined,
      audience: 'vllm',
      signingAlg: 'ES256',
      publicAddress: { host: '127.0.0.1', port: 8080 },
      adminAddress: { host: '127.0.0.1', port: 8081 },
      opsAddress: { host: '127.0.0.1', port: 8084 },
      gatewayAddress: { host: '127.0.0.1', port: 8082 },
      gatewayGrpcAddress: { host: '127.0.0.1', port: 8083 },
      gatewayAudience: 'vllm',
      gatewayModel: { from: 'nowhere' },
      gatewayKeyHeaders: [],
      trustedProxies: [],
      rootTokens: [],
      tokenTtlSeconds: 300,
      stalenessSeconds: 900,
      rotationIntervalSeconds: 2_592_000,
      publishLeadSeconds: 7200,
      logLevel: 'info',
    })
  })

  it('an empty variable counts as unset', () => {
    expect(read({ MINTMARK_AUDIENCE: '', MINTMARK_TOKEN_TTL_SECONDS: '', DATABASE_URL: '' })).toMatchObject({
      audience: 'vllm',
      tokenTtlSeconds: 300,
      embedded: true,
    })
  })

  it('the ops host follows the public one, and the admin host does not', () => {
    const { opsAddress, adminAddress } = read({ MINTMARK_HOST: '0.0.0.0' })
    expect([opsAddress.host, adminAddress.host]).toEqual(['0.0.0.0', '127.0.0.1'])
  })
})

describe('the check', () => {
  it('has the default audience, unless it has its own', () => {
    expect(read({ MINTMARK_AUDIENCE: 'a' }).gatewayAudience).toBe('a')
    expect(read({ MINTMARK_AUDIENCE: 'a', MINTMARK_GATEWAY_AUDIENCE: 'b' }).gatewayAudience).toBe('b')
  })

  it('reads names of headers in any case', () => {
    expect(
      read({
        MINTMARK_GATEWAY_MODEL: 'header:X-Model',
        MINTMARK_GATEWAY_KEY_HEADERS: 'X-Api-Key, api-key',
      }),
    ).toMatchObject({
      gatewayModel: { from: 'header', name: 'x-model' },
      gatewayKeyHeaders: ['x-api-key', 'api-key'],
    })
  })
})

describe('all faults are in one message', () => {
  it('five invalid variables give five lines, each beginning with its name', () => {
    const found = faults({
      MINTMARK_PUBLIC_PORT: '99999',
      MINTMARK_TOKEN_TTL_SECONDS: '15m',
      MINTMARK_SIGNING_ALG: 'HS256',
      LOG_LEVEL: 'loud',
      MINTMARK_TRUSTED_PROXIES: 'all',
    })
    expect(found.map(line => line.split(' ')[0]).sort()).toEqual([
      'LOG_LEVEL',
      'MINTMARK_PUBLIC_PORT',
      'MINTMARK_SIGNING_ALG',
      'MINTMARK_TOKEN_TTL_SECONDS',
      'MINTMARK_TRUSTED_PROXIES',
    ])
  })

  it('then unknown variables, with the name that was probably meant', () => {
    const env = {
      MINTMARK_PUBLIC_PORT: 'http',
      MINTMARK_PEPPER: 'p1:x',
      MINTMARK_ISSUER_URL_OF_MINE: 'x',
      MINTMARK_ADMIN_TOKEN: 'x',
      MINTMARK_YES: '1',
    }
    expect(() => readConfig(new Env(env))).toThrow(
      /^The configuration has a fault:\n {2}- MINTMARK_PUBLIC_PORT must .+\n {2}- unknown variable MINTMARK_PEPPER: is it MINTMARK_PEPPERS\?\n {2}- unknown variable MINTMARK_ISSUER_URL_OF_MINE: check its spelling$/,
    )
  })

  it.each([
    ['MINTMARK_ISSUER', "'https://tokens.example.com'"],
    ['MINTMARK_ROOT_TOKEN', `"${'a'.repeat(32)}"`],
    ['MINTMARK_TOKEN_TTL_SECONDS', '"300"\r'],
    ['DATABASE_URL', `"${DATABASE.DATABASE_URL}"`],
  ])('%s in quotes, as docker --env-file passes them on, is named without its value', (name, value) => {
    expect(faults({ ...DATABASE, [name]: value })).toEqual([
      `${name} is in quotes, which belong to its value here: remove them`,
    ])
  })

  it.each([
    ['MINTMARK_ISSUER', 'https://tokens.example.com\r'],
    ['MINTMARK_TOKEN_TTL_SECONDS', '300 '],
    ['DATABASE_URL', `\uFEFF${DATABASE.DATABASE_URL}`],
  ])('%s with white space that nobody sees is refused with that as a reason', (name, value) => {
    expect(faults({ ...DATABASE, [name]: value })).toEqual([
      expect.stringMatching(new RegExp(`^${name} must .+; it begins or ends with white space$`, 's')),
    ])
  })

  it.each(['http://0.0.0.0', '0.0.0.0:8080', '[::]', '*'])('%s is no address to listen on', host => {
    for (const name of ['MINTMARK_HOST', 'MINTMARK_ADMIN_HOST', 'MINTMARK_GATEWAY_HOST', 'MINTMARK_OPS_HOST'])
      expect(faults({ [name]: host })).toEqual([expect.stringMatching(`^${name} must be an address`)])
  })

  it.each(['0.0.0.0', '::', '::1', 'localhost', 'mintmark-0.mintmark.svc', 'my_service'])(
    '%s is an address to listen on',
    host => expect(faults({ MINTMARK_HOST: host })).toEqual([]),
  )

  it('production without variables lacks its database and its issuer', () => {
    expect(faults({ NODE_ENV: 'production' }).join('\n')).toMatch(
      /^MINTMARK_ISSUER .*https:\/\/|^DATABASE_URL is required in production/m,
    )
    expect(faults({ NODE_ENV: 'production' })).toHaveLength(2)
  })

  it.each<[string, Record<string, string>, RegExp]>([
    [
      'an http issuer in production',
      { ...PRODUCTION, MINTMARK_ISSUER: 'http://tokens.example.com' },
      /^MINTMARK_ISSUER .*must begin with https:\/\//,
    ],
    [
      'a database without peppers',
      { ...DATABASE, MINTMARK_PEPPERS: '' },
      /^MINTMARK_PEPPERS is required with DATABASE_URL: .*openssl rand/,
    ],
    [
      'a database without encryption keys',
      { ...DATABASE, MINTMARK_ENCRYPTION_KEYS: '' },
      /^MINTMARK_ENCRYPTION_KEYS is required with DATABASE_URL/,
    ],
    [
      'a NODE_ENV that is none',
      { NODE_ENV: 'prod' },
      /^NODE_ENV must be one of development, test, production, got "prod"/,
    ],
    [
      'a database URL of another kind',
      { ...DATABASE, DATABASE_URL: 'mysql://x/y' },
      /^DATABASE_URL must be a URL like postgres:\/\//,
    ],
    [
      'a command for a password that the URL has',
      { ...DATABASE, DATABASE_PASSWORD_COMMAND: 'print-token {user}' },
      /^DATABASE_PASSWORD_COMMAND must be used by a URL without a password: remove/,
    ],
    [
      'a command for the password of embedded Postgres',
      { DATABASE_PASSWORD_COMMAND: 'print-token' },
      /^DATABASE_PASSWORD_COMMAND must be used by a URL without a password/,
    ],
    ...['cat "a b"', 'echo $TOKEN', 'a | b', 'a; b', 'a > b', 'echo `b`', 'a\tb', 'cat ~/x'].map(
      (command): [string, Record<string, string>, RegExp] => [
        `a command that needs a shell: ${command}`,
        { ...WITHOUT_PASSWORD, DATABASE_PASSWORD_COMMAND: command },
        /^DATABASE_PASSWORD_COMMAND must be a program and its arguments, separated by spaces: there is no shell/,
      ],
    ),
    [
      'a command with another word in braces',
      { ...WITHOUT_PASSWORD, DATABASE_PASSWORD_COMMAND: 'print {database}' },
      /^DATABASE_PASSWORD_COMMAND must have no braces but those of \{host\}, \{port\} and \{user\}/,
    ],
    [
      'an issuer with a trailing slash',
      { MINTMARK_ISSUER: 'https://a.example/' },
      /^MINTMARK_ISSUER must be/,
    ],
    ['an issuer with a query', { MINTMARK_ISSUER: 'https://a.example?x=1' }, /^MINTMARK_ISSUER must be/],
    ['an issuer with a fragment', { MINTMARK_ISSUER: 'https://a.example#x' }, /^MINTMARK_ISSUER must be/],
    ['an issuer with a user', { MINTMARK_ISSUER: 'https://me@a.example' }, /^MINTMARK_ISSUER must be/],
    [
      'an issuer in capitals, which gateways would not match',
      { MINTMARK_ISSUER: 'https://A.example' },
      /^MINTMARK_ISSUER must be/,
    ],
    [
      'an issuer of 201 characters',
      { MINTMARK_ISSUER: `https://a.example/${'x'.repeat(183)}` },
      /^MINTMARK_ISSUER must be/,
    ],
    ['an audience with a comma', { MINTMARK_AUDIENCE: 'a,b' }, /^MINTMARK_AUDIENCE must be/],
    ['an audience with a space', { MINTMARK_AUDIENCE: 'a b' }, /^MINTMARK_AUDIENCE must be/],
    [
      'a lead that istiod would miss',
      { MINTMARK_PUBLISH_LEAD_SECONDS: '3599' },
      /^MINTMARK_PUBLISH_LEAD_SECONDS must be at least 3600.*MINTMARK_SHORT_PUBLISH_LEAD=allowed/,
    ],
    [
      'a lead that is longer than the interval',
      { MINTMARK_ROTATION_INTERVAL_SECONDS: '3600' },
      /^MINTMARK_PUBLISH_LEAD_SECONDS must be at most the rotation interval \(3600\)/,
    ],
    [
      'an interval with which twelve keys would be published',
      {
        MINTMARK_ROTATION_INTERVAL_SECONDS: '10800',
        MINTMARK_STALENESS_SECONDS: '86400',
        MINTMARK_TOKEN_TTL_SECONDS: '3600',
      },
      /^MINTMARK_ROTATION_INTERVAL_SECONDS is too short: .*\(3600 \+ 86400 \+ 60 \+ 7200\) \/ 10800, so 12 keys/,
    ],
    [
      'a permission that is none',
      { MINTMARK_SHORT_PUBLISH_LEAD: 'yes' },
      /^MINTMARK_SHORT_PUBLISH_LEAD must be "allowed"/,
    ],
    [
      'a CIDR with a prefix that there is not',
      { MINTMARK_TRUSTED_PROXIES: '10.0.0.0/33' },
      /^MINTMARK_TRUSTED_PROXIES must be/,
    ],
    [
      'every address as a proxy',
      { MINTMARK_TRUSTED_PROXIES: '10.0.0.0/8,::ffff:0:0/96' },
      /^MINTMARK_TRUSTED_PROXIES must be/,
    ],
    [
      'an address that is none',
      { MINTMARK_TRUSTED_PROXIES: '10.0.0.999' },
      /^MINTMARK_TRUSTED_PROXIES must be/,
    ],
    [
      'a root token of 31 characters',
      { MINTMARK_ROOT_TOKEN: 'x'.repeat(31) },
      /^MINTMARK_ROOT_TOKEN must have at least 32/,
    ],
    [
      'a list whose second root token is short',
      { MINTMARK_ROOT_TOKEN: `${'x'.repeat(32)},short` },
      /^MINTMARK_ROOT_TOKEN must have at least 32/,
    ],
    [
      'a pepper without an id',
      { MINTMARK_PEPPERS: randomBytes(32).toString('base64url') },
      /^MINTMARK_PEPPERS must be a comma-separated list of id:base64url/,
    ],
    [
      'a pepper of 31 bytes',
      { MINTMARK_PEPPERS: `p:${randomBytes(31).toString('base64url')}` },
      /^MINTMARK_PEPPERS must be/,
    ],
    [
      'a pepper of 33 bytes',
      { MINTMARK_PEPPERS: `p:${randomBytes(33).toString('base64url')}` },
      /^MINTMARK_PEPPERS must be/,
    ],
    ['a pepper in plain base64', { MINTMARK_PEPPERS: `p:${'+/'.repeat(21)}A=` }, /^MINTMARK_PEPPERS must be/],
    ['a model from nowhere known', { MINTMARK_GATEWAY_MODEL: 'path' }, /^MINTMARK_GATEWAY_MODEL must be/],
    [
      'a model from a header that holds the key',
      { MINTMARK_GATEWAY_MODEL: 'header:X-Api-Key' },
      /^MINTMARK_GATEWAY_MODEL must be/,
    ],
    [
      'a model from a header with an underscore, which gateways drop',
      { MINTMARK_GATEWAY_MODEL: 'header:x_model' },
      /^MINTMARK_GATEWAY_MODEL must be/,
    ],
    [
      'a key from any header',
      { MINTMARK_GATEWAY_KEY_HEADERS: 'x-api-key,cookie' },
      /^MINTMARK_GATEWAY_KEY_HEADERS must be .* x-api-key, api-key, got "x-api-key,cookie"/,
    ],
    [
      'two peppers of one id',
      { MINTMARK_PEPPERS: `${key('p')},${key('p')}` },
      /^MINTMARK_PEPPERS must not contain an id twice/,
    ],
  ])('%s', (_, values, expected) => {
    const found = faults(values)
    expect(found).toHaveLength(1)
    expect(found[0]).toMatch(expected)
  })
})

describe('numbers are bounded, whole and without units', () => {
  it.each([
    ['MINTMARK_PUBLIC_PORT', 0, 65_535],
    ['MINTMARK_ADMIN_PORT', 0, 65_535],
    ['MINTMARK_GATEWAY_PORT', 0, 65_535],
    ['MINTMARK_OPS_PORT', 0, 65_535],
    ['MINTMARK_TOKEN_TTL_SECONDS', 60, 3_600],
    ['MINTMARK_STALENESS_SECONDS', 0, 86_400],
    ['MINTMARK_ROTATION_INTERVAL_SECONDS', 3_600, 31_536_000],
    ['MINTMARK_PUBLISH_LEAD_SECONDS', 1, 604_800],
    ['MINTMARK_DATABASE_MAX_CONNECTIONS', 4, 200],
    ['MINTMARK_DIRECTORY_MAX_KEYS', 1, 5_000_000],
  ])('%s', (name, min, max) => {
    const others = { MINTMARK_SHORT_PUBLISH_LEAD: 'allowed', MINTMARK_PUBLISH_LEAD_SECONDS: '3600' }
    const wrong = (text: string) => faults({ ...others, [name]: text })
    for (const text of [min, max]) expect(wrong(String(text))).toEqual([])
    for (const text of [min - 1, max + 1, `${min}s`, `${min}.5`, `0x${min}`, `${min} `, '1e3', 'NaN', '٣']) {
      expect(wrong(String(text))).toEqual([
        `${name} must be a whole number from ${min} to ${max}, got "${text}"${text === `${min} ` ? '; it begins or ends with white space' : ''}`,
      ])
    }
  })
})

describe('DATABASE_PASSWORD_COMMAND', () => {
  const command = { DATABASE_PASSWORD_COMMAND: 'print-token  --user {user} {host}:{port}' }

  it('is for a URL without a password, also where another one has it', () => {
    const MIGRATE_DATABASE_URL = 'postgres://owner:of-the-owner@db.example/mintmark'
    expect(read({ ...WITHOUT_PASSWORD, ...command, MIGRATE_DATABASE_URL }).databasePassword).toBeDefined()
    expect(read(DATABASE).databasePassword).toBeUndefined()
    expect(JSON.stringify(read({ ...WITHOUT_PASSWORD, ...command }).databasePassword)).toBe('"print-token …"')
  })

  it('does not disturb a migration with a password', () => {
    const MIGRATE_DATABASE_URL = 'postgres://owner:of-the-owner@db.example/mintmark'
    expect(readMigrateDatabase(new Env({ ...command, MIGRATE_DATABASE_URL })).url).toBe(MIGRATE_DATABASE_URL)
  })
})

describe('several processes', () => {
  it('are one, unless MINTMARK_PROCESSES is set', () => {
    expect(read(DATABASE).processes).toBe(1)
    expect(read({ ...DATABASE, MINTMARK_PROCESSES: '4' }).processes).toBe(4)
  })

  it.each([
    ['embedded Postgres', {}, 'MINTMARK_PROCESSES must be 1 without DATABASE_URL'],
    [
      'a port that is known later than the issuer',
      { ...DATABASE, MINTMARK_PUBLIC_PORT: '0' },
      'MINTMARK_PUBLIC_PORT must not be 0 with several processes, unless MINTMARK_ISSUER is set',
    ],
  ])('do not go with %s', (_, values, fault) => {
    expect(faults({ MINTMARK_PROCESSES: '2', ...values })).toEqual([expect.stringContaining(fault)])
  })
})

describe('tokens of gateways', () => {
  const [first, second] = ['a'.repeat(32), 'b'.repeat(32)]

  it('may have a name, which registers the gateway', () => {
    const { xds } = read({ ...DATABASE, MINTMARK_XDS_TOKENS: `inference:${first}, ${second}` })
    expect(xds?.tokens.map(({ gateway, token }) => [gateway, token.reveal()])).toEqual([
      ['inference', first],
      [undefined, second],
    ])
    expect(JSON.stringify(xds)).not.toContain(first)
  })

  it.each([
    ['a name in upper case', `Inference:${first}`, 'must have names of 1 to 63 characters'],
    ['the name of all others', `other:${first}`, 'must have names of 1 to 63 characters'],
    ['a short token', 'inference:short', 'must have at least 32 printable characters'],
    [
      'too many names',
      Array.from({ length: 101 }, (_, n) => `g${n}:${first}`).join(),
      'must not have more than 100 names',
    ],
  ])('not %s', (_, value, fault) => {
    expect(faults({ ...DATABASE, MINTMARK_XDS_TOKENS: value })).toEqual([expect.stringContaining(fault)])
  })
})
