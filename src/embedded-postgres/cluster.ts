import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Random } from '../system/random.ts'
import { EmbeddedPostgresError } from './error.ts'
import type { Home } from './home.ts'
import type { Programs } from './programs.ts'
import { asUser, giveTo, ignoring } from './user.ts'

/** Passwords of the two login roles: base64url, generated once per home. */
export interface Credentials {
  owner: string
  application: string
}

/** Names of unfinished files and folders: never used for anything with data. */
const UNFINISHED = /\.new-[0-9a-f]{16}$/

/** Removes the unfinished files of a killed start. */
export async function removeUnfinished(home: Home): Promise<void> {
  for (const name of await readdir(home.directory)) {
    if (UNFINISHED.test(name))
      await rm(join(home.directory, name), { recursive: true, force: true, maxRetries: 5 })
  }
}

/** The credentials stored in the home, or new ones, which are on disk before they are used. */
export async function loadCredentials(home: Home, random: Random): Promise<Credentials> {
  const file = join(home.directory, 'credentials.json')
  const text = await readFile(file, 'utf8').catch(ignoring('ENOENT'))
  if (text !== undefined) return JSON.parse(text) as Credentials
  if (await versionOf(join(home.directory, 'data'))) {
    throw new EmbeddedPostgresError(
      `${file} is missing, and the database next to it needs it for logins: restore it, or move ${home.directory} away to start with an empty database`,
    )
  }
  const password = () => random.bytes(24).toString('base64url')
  const credentials: Credentials = { owner: password(), application: password() }
  const unfinished = join(home.directory, unfinishedName('credentials', random))
  await writeFile(unfinished, `${JSON.stringify(credentials, null, 2)}\n`, { mode: 0o600, flag: 'wx' })
  await rename(unfinished, file)
  return credentials
}

/** Finds or creates the cluster in the home and returns its folder. */
export async function openCluster(
  home: Home,
  programs: Programs,
  credentials: Credentials,
  random: Random,
  durable: boolean,
  onProgress: (message: string) => void,
): Promise<string> {
  const data = join(home.directory, 'data')
  const version = await versionOf(data)
  if (version === undefined) {
    onProgress('Creating the embedded database (only this first time)')
    await initialize(home, programs, credentials, random, durable)
  } else if (version !== programs.major) {
    throw new EmbeddedPostgresError(
      `The database in ${data} was created by Postgres ${version}, but this Mintmark includes Postgres ${programs.major}. Nothing was changed. Dump it with the Mintmark that created it, or move ${home.directory} away to start with an empty one, or set MINTMARK_DATA_DIR to another directory`,
    )
  }
  return data
}

/** The cluster's major version, undefined if there is none; a folder with other content is an error. */
async function versionOf(data: string): Promise<string | undefined> {
  const version = await readFile(join(data, 'PG_VERSION'), 'utf8').catch(ignoring('ENOENT'))
  if (version !== undefined) return version.trim()
  const content = await readdir(data).catch(ignoring('ENOENT'))
  if (content?.length) {
    throw new EmbeddedPostgresError(`${data} is neither empty nor a Postgres cluster: move it away`)
  }
  return undefined
}

/** `data` appears complete, by a rename: a killed initdb leaves a folder that is not mistaken for a cluster. */
async function initialize(
  home: Home,
  programs: Programs,
  credentials: Credentials,
  random: Random,
  durable: boolean,
): Promise<void> {
  const data = join(home.directory, unfinishedName('data', random))
  const passwordFile = join(home.directory, unfinishedName('password', random))
  try {
    await mkdir(data, { mode: 0o700 })
    await giveTo(home.user, data)
    await writeFile(passwordFile, credentials.owner, { mode: 0o600, flag: 'wx' })
    await giveTo(home.user, passwordFile)
    const locale = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8']
    const access = ['--username=postgres', '--auth=scram-sha-256', `--pwfile=${passwordFile}`]
    const sync = durable ? [] : ['--no-sync']
    const options = asUser(home.user, home.directory)
    await promisify(execFile)(programs.initdb, [`--pgdata=${data}`, ...locale, ...access, ...sync], options)
    await rename(data, join(home.directory, 'data'))
  } catch (error) {
    await rm(data, { recursive: true, force: true })
    const said = (error as { stderr?: string }).stderr?.trim() ?? ''
    throw new EmbeddedPostgresError(`The embedded database could not be created: ${said}`, { cause: error })
  } finally {
    await rm(passwordFile, { force: true })
  }
}

const unfinishedName = (name: string, random: Random) => `${name}.new-${random.bytes(8).toString('hex')}`
