import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterAll, describe, expect, it } from 'vitest'
import { type Config, readConfig } from '../../src/config/config.ts'
import { ConfigError, Env } from '../../src/config/env.ts'

const key = (id: string) => `${id}:${randomBytes(32).toString('base64url')}`
const DATABASE = {
  DATABASE_URL: 'postgres://mintmark:database-password@db.example:5432/mintmark',
  MINTMARK_PEPPERS: key('p1'),
  MINTMARK_ENCRYPTION_KEYS: key('e1'),
}
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

const folder = mkdtempSync(join(tmpdir(), 'mintmark-config-'))
afterAll(() => rmSync(folder, { recursive: true }))
function file(content: string): string {
  const path = join(folder, randomBytes(6).toString('hex'))
  writeFileSync(path, content)
  return path
}

describe('NAME_FILE', () => {
  it('is read, without one final newline', () => {
    for (const ending of ['', '\n', '\r\n']) {
      expect(read({ MINTMARK_AUDIENCE_FILE: file(`from-a-file${ending}`) }).audience).toBe('from-a-file')
    }
    const token = 't'.repeat(40)
    expect(
      read({ MINTMARK_ROOT_TOKEN_FILE: file(`${token}\n`) }).rootTokens.map(root => root.reveal()),
    ).toEqual([token])
  })

  it('and NAME together are a fault', () => {
    expect(faults({ MINTMARK_AUDIENCE: 'a', MINTMARK_AUDIENCE_FILE: file('b') })).toEqual([
      'MINTMARK_AUDIENCE and MINTMARK_AUDIENCE_FILE are both set: unset one of them',
    ])
  })

  it('that does not exist is a fault with the path', () => {
    const path = join(folder, 'nowhere')
    expect(faults({ MINTMARK_AUDIENCE_FILE: path })).toEqual([
      `MINTMARK_AUDIENCE_FILE cannot be read: ${path}: it does not exist (ENOENT)`,
    ])
  })

  it('that is a folder, or below a file, is a fault that says so', () => {
    const below = join(file('x'), 'secret')
    expect(
      faults({
        MINTMARK_AUDIENCE_FILE: folder,
        MINTMARK_SIGNING_ALG_FILE: below,
        MINTMARK_HOST_FILE: 'x'.repeat(300),
      }),
    ).toEqual([
      expect.stringMatching(/^MINTMARK_HOST_FILE cannot be read: x+: its name is too long \(ENAMETOOLONG\)$/),
      `MINTMARK_AUDIENCE_FILE cannot be read: ${folder}: it is a directory (EISDIR)`,
      `MINTMARK_SIGNING_ALG_FILE cannot be read: ${below}: a part of its path is a file (ENOTDIR)`,
    ])
  })

  it('a bug while a value is read is not reported as a fault of the value', () => {
    const env = new Env({ MINTMARK_AUDIENCE: 'a' })
    const parse = () => (undefined as unknown as string[]).length
    expect(() => env.optional('MINTMARK_AUDIENCE', { description: '', parse })).toThrow(TypeError)
  })

  it('that is empty counts as unset, and its content is checked like any value', () => {
    expect(read({ MINTMARK_AUDIENCE_FILE: file('\n') }).audience).toBe('vllm')
    expect(faults({ MINTMARK_AUDIENCE_FILE: file('a b') })[0]).toMatch(/^MINTMARK_AUDIENCE must be/)
  })
})

describe('secrets', () => {
  const root = `root-${randomBytes(20).toString('hex')}`
  const values = {
    ...PRODUCTION,
    MINTMARK_ROOT_TOKEN: root,
    MIGRATE_DATABASE_URL: 'postgres://owner:owner-password@db.example/mintmark',
  }
  const secrets = [
    root,
    'database-password',
    'owner-password',
    DATABASE.MINTMARK_PEPPERS.slice(3),
    DATABASE.MINTMARK_ENCRYPTION_KEYS.slice(3),
  ]

  it.each<[string, (config: Config) => string]>([
    ['util.inspect', config => inspect(config, { depth: 20, showHidden: true })],
    ['JSON.stringify', config => JSON.stringify(config)],
    [
      'String',
      config =>
        [config.databaseUrl, config.rootTokens, config.peppers.map(pepper => pepper.key)].map(String).join(),
    ],
    [
      'a template',
      config =>
        `${config.databaseUrl} ${config.migrateDatabaseUrl} ${config.rootTokens} ${config.encryptionKeys[0]?.key}`,
    ],
  ])('are not in what %s gives', (_, print) => {
    const text = print(read(values))
    for (const secret of secrets) expect(text).not.toContain(secret)
    expect(text).toContain('[redacted]')
  })

  it('are not in the message of a fault', () => {
    const wrong = {
      DATABASE_URL: 'mysql://user:database-password@x/y',
      MINTMARK_ROOT_TOKEN: 'short-root',
      MINTMARK_PEPPERS: 'p:short-pepper',
      MINTMARK_ENCRYPTION_KEYS: 'e:short-key',
    }
    expect(faults(wrong)).toHaveLength(4)
    expect(faults(wrong).join()).not.toMatch(/database-password|short-root|short-pepper|short-key/)
  })

  it('can be revealed on purpose', () => {
    const { databaseUrl, peppers } = read(values)
    expect(databaseUrl?.reveal()).toBe(DATABASE.DATABASE_URL)
    expect(peppers[0]?.key.reveal().toString('base64url')).toBe(DATABASE.MINTMARK_PEPPERS.slice(3))
  })
})
