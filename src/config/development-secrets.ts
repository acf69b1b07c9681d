import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { CannotStart } from '../errors.ts'
import { fileFault } from '../system/file-fault.ts'
import type { Random } from '../system/random.ts'
import type { Config } from './config.ts'

/** Files of the keys directory, and the variables that they stand in for. */
const FILES = {
  MINTMARK_ROOT_TOKEN: {
    file: 'root-token',
    make: (random: Random) => random.bytes(32).toString('base64url'),
  },
  MINTMARK_PEPPERS: {
    file: 'peppers',
    make: (random: Random) => `dev1:${random.bytes(32).toString('base64url')}`,
  },
  MINTMARK_ENCRYPTION_KEYS: {
    file: 'encryption-keys',
    make: (random: Random) => `dev1:${random.bytes(32).toString('base64url')}`,
  },
} as const

type SecretVariable = keyof typeof FILES

/**
 * With embedded Postgres, secrets that nobody set are made once and kept in the keys directory, readable by this user
 * only. Returns them as environment variables, to be read like any other. @throws {CannotStart} with the way out
 */
export function developmentSecrets(config: Config, random: Random): Record<string, string> {
  const missing: SecretVariable[] = []
  if (config.rootTokens.length === 0) missing.push('MINTMARK_ROOT_TOKEN')
  if (config.peppers.length === 0) missing.push('MINTMARK_PEPPERS')
  if (config.encryptionKeys.length === 0) missing.push('MINTMARK_ENCRYPTION_KEYS')
  naming(config.keysDir, 'created', () => mkdirSync(config.keysDir, { recursive: true }))
  naming(config.keysDir, 'entered', () => accessSync(config.keysDir, constants.X_OK))
  refuseLost(config, missing)
  return Object.fromEntries(missing.map(variable => [variable, readOrMake(config.keysDir, variable, random)]))
}

/** A new pepper or encryption key beside an existing database would open nothing in it. @throws {CannotStart} with the way out */
function refuseLost({ keysDir, dataDir }: Config, missing: readonly SecretVariable[]): void {
  if (!existsSync(join(dataDir, 'postgres'))) return
  const lost = missing
    .filter(variable => variable !== 'MINTMARK_ROOT_TOKEN')
    .map(variable => join(keysDir, FILES[variable].file))
    .filter(path => !existsSync(path))
  if (lost.length === 0) return
  throw new CannotStart(
    `${lost.join(' and ')} ${lost.length === 1 ? 'is' : 'are'} missing, but the database in ${dataDir} was written with it: restore it, or start over with "rm -rf ${dataDir} ${keysDir}/{peppers,encryption-keys,root-token}"`,
  )
}

/** Where the root token of development is kept. */
export const rootTokenFile = (keysDir: string): string => join(keysDir, FILES.MINTMARK_ROOT_TOKEN.file)

function readOrMake(keysDir: string, variable: SecretVariable, random: Random): string {
  const path = join(keysDir, FILES[variable].file)
  if (!existsSync(path)) naming(path, 'written', () => make(path, `${FILES[variable].make(random)}\n`))
  naming(path, 'closed to others', () => {
    if (statSync(path).mode & 0o077) chmodSync(path, 0o600)
  })
  const secret = naming(path, 'read', () => readFileSync(path, 'utf8')).trim()
  if (secret !== '') return secret
  throw new CannotStart(`${path} is empty: restore its content, or remove it to generate a new one`)
}

/**
 * Complete or absent, so that no start reads half of a secret; and a file that is there stays, so that of two processes
 * that start together one makes it and both read it.
 */
function make(path: string, content: string): void {
  const unfinished = `${path}.new-${process.pid}`
  try {
    writeFileSync(unfinished, content, { mode: 0o600 })
    linkSync(unfinished, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    rmSync(unfinished, { force: true })
  }
}

/** @throws {CannotStart} that names the file, what is wrong with it and the cure */
function naming<T>(path: string, deed: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    const why = fileFault(error)
    if (why === undefined) throw error
    throw new CannotStart(
      `${path} cannot be ${deed}: ${why}. Allow this user to read and write it, or set MINTMARK_KEYS_DIR to a directory where it can`,
      { cause: error },
    )
  }
}
