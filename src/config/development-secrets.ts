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

/** Files in the keys directory, and the variables that they provide. */
const FILES = {
  MINTMARK_ROOT_TOKEN: {
    file: 'root-token',
    generate: (random: Random) => random.bytes(32).toString('base64url'),
  },
  MINTMARK_PEPPERS: {
    file: 'peppers',
    generate: (random: Random) => `dev1:${random.bytes(32).toString('base64url')}`,
  },
  MINTMARK_ENCRYPTION_KEYS: {
    file: 'encryption-keys',
    generate: (random: Random) => `dev1:${random.bytes(32).toString('base64url')}`,
  },
} as const

type SecretVariable = keyof typeof FILES

/**
 * With embedded Postgres, secrets that are not set are generated once and stored in the keys directory, readable by
 * this user only. Returns them as environment variables, to be read like any other. @throws {CannotStart} with the cure
 */
export function developmentSecrets(config: Config, random: Random): Record<string, string> {
  const missing: SecretVariable[] = []
  if (config.rootTokens.length === 0) missing.push('MINTMARK_ROOT_TOKEN')
  if (config.peppers.length === 0) missing.push('MINTMARK_PEPPERS')
  if (config.encryptionKeys.length === 0) missing.push('MINTMARK_ENCRYPTION_KEYS')
  naming(config.keysDir, 'created', () => mkdirSync(config.keysDir, { recursive: true }))
  naming(config.keysDir, 'entered', () => accessSync(config.keysDir, constants.X_OK))
  refuseLost(config, missing)
  return Object.fromEntries(
    missing.map(variable => [variable, readOrCreate(config.keysDir, variable, random)]),
  )
}

/**
 * A new pepper or encryption key would not work with the data of an existing database. @throws {CannotStart} with the
 * cure
 */
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

/** The file with the development root token. */
export const rootTokenFile = (keysDir: string): string => join(keysDir, FILES.MINTMARK_ROOT_TOKEN.file)

/** The file that provides a variable with embedded Postgres; undefined: none does. */
export const developmentFile = (keysDir: string, variable: string): string | undefined =>
  Object.hasOwn(FILES, variable) ? join(keysDir, FILES[variable as SecretVariable].file) : undefined

function readOrCreate(keysDir: string, variable: SecretVariable, random: Random): string {
  const path = join(keysDir, FILES[variable].file)
  if (!existsSync(path)) naming(path, 'written', () => create(path, `${FILES[variable].generate(random)}\n`))
  naming(path, 'closed to others', () => {
    if (statSync(path).mode & 0o077) chmodSync(path, 0o600)
  })
  const secret = naming(path, 'read', () => readFileSync(path, 'utf8')).trim()
  if (secret !== '') return secret
  throw new CannotStart(`${path} is empty: restore its content, or remove it to generate a new one`)
}

/**
 * The file is complete or absent, so that no process reads half of a secret; an existing file is kept, so that of two
 * processes that start together one creates it and both read it.
 */
function create(path: string, content: string): void {
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

/** @throws {CannotStart} that names the file, the fault and the cure */
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
