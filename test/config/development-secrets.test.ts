import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readConfig } from '../../src/config/config.ts'
import { developmentSecrets } from '../../src/config/development-secrets.ts'
import { Env } from '../../src/config/env.ts'
import { CannotStart } from '../../src/errors.ts'
import { systemRandom } from '../../src/system/random.ts'

let folder: string
let keys: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mintmark-secrets-'))
  keys = join(folder, 'keys')
})
afterEach(() => {
  chmodSync(folder, 0o755)
  rmSync(folder, { recursive: true })
})

const make = () =>
  developmentSecrets(
    readConfig(new Env({ MINTMARK_KEYS_DIR: keys, MINTMARK_DATA_DIR: join(folder, 'data') })),
    systemRandom,
  )

function refusal(): string {
  try {
    make()
    return 'no refusal'
  } catch (error) {
    expect(error).toBeInstanceOf(CannotStart)
    return (error as Error).message
  }
}

describe('secrets of development', () => {
  it('are generated once, for this user only, and leave no other file in the folder', () => {
    const made = make()
    expect(make()).toEqual(made)
    expect(readdirSync(keys).sort()).toEqual(['encryption-keys', 'peppers', 'root-token'])
    expect(statSync(join(keys, 'root-token')).mode & 0o777).toBe(0o600)
  })

  it.each([0o644, 0o640, 0o604])('are closed to other users where they were open: mode %o', mode => {
    make()
    chmodSync(join(keys, 'peppers'), mode)
    make()
    expect(statSync(join(keys, 'peppers')).mode & 0o777).toBe(0o600)
  })
})

describe('what is in their way is said with its name and the cure', () => {
  const CURE =
    /\. Allow this user to read and write it, or set MINTMARK_KEYS_DIR to a directory where it can$/

  it('a file in place of the folder', () => {
    writeFileSync(keys, '')
    expect(refusal()).toMatch(CURE)
    expect(refusal()).toContain(`${keys} cannot be created: a file exists in its place (EEXIST)`)
  })

  it('a folder below a file', () => {
    writeFileSync(keys, '')
    keys = join(keys, 'deeper')
    expect(refusal()).toContain(`${keys} cannot be created: a part of its path is a file (ENOTDIR)`)
  })

  it('a folder in place of a secret', () => {
    mkdirSync(join(keys, 'peppers'), { recursive: true })
    expect(refusal()).toMatch(CURE)
    expect(refusal()).toContain(`${join(keys, 'peppers')} cannot be read: it is a directory (EISDIR)`)
  })

  it('an empty file', () => {
    mkdirSync(keys)
    writeFileSync(join(keys, 'peppers'), '\n')
    expect(refusal()).toBe(
      `${join(keys, 'peppers')} is empty: restore its content, or remove it to generate a new one`,
    )
    expect(readFileSync(join(keys, 'peppers'), 'utf8')).toBe('\n')
  })
})
