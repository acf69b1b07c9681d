import { chmod, lchown, lstat, mkdir, readFile, realpath, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Clock, systemClock } from '../system/clock.ts'
import type { Random } from '../system/random.ts'
import { BELONGS_TO, removeAbandoned } from './abandoned.ts'
import { EmbeddedPostgresError } from './error.ts'
import { oneAtATime } from './lock.ts'
import { canEnter, type DatabaseUser, findDatabaseUser, ignoring, runsAsRoot } from './user.ts'

/** The folder of one embedded Postgres: our lock, credentials and log, and the cluster in `data`. */
export interface Home {
  /** Absolute, without links. */
  directory: string
  /** The user that runs Postgres; undefined when that is this process's own user. */
  user: DatabaseUser | undefined
  /** A folder for copies of the programs, when they cannot be used where npm put them. */
  copies(): Promise<string>
}

/**
 * Finds or creates the home of `dataDir` (absolute): the folder `postgres` in it. For root, with a database that runs
 * as another user that may have no access to `dataDir`, it is a link to a folder outside with a random name: deleting
 * the data directory deletes the link, and the next start begins with an empty database. The folder outside is removed
 * when the next such home is created.
 */
export async function openHome(dataDir: string, random: Random, clock: Clock = systemClock): Promise<Home> {
  const path = join(dataDir, 'postgres')
  await mkdir(dataDir, { recursive: true }).catch(cannotMake(dataDir))
  const user = runsAsRoot() ? await findDatabaseUser(join(path, 'data')) : undefined
  if (!(await lstat(path).catch(ignoring('ENOENT')))) {
    await makeHome(path, dataDir, { user, random, clock })
  }
  const directory = await realpath(path).catch(ignoring('ENOENT'))
  if (directory === undefined) {
    throw new EmbeddedPostgresError(
      `${path} links to a directory that is missing, with its database: remove the link to start with an empty one`,
    )
  }
  const problem = await notOurs(directory)
  if (problem) throw new EmbeddedPostgresError(problem)
  if (user) {
    await claim(directory, dataDir)
    await lchown(directory, 0, user.gid)
    await chmod(directory, 0o710)
    if (!canEnter(user, directory)) {
      throw new EmbeddedPostgresError(
        `Postgres runs as ${user.name}, which cannot enter ${directory}: allow it (chmod o+x on the directories above), or set MINTMARK_DATA_DIR to another directory`,
      )
    }
  }
  return { directory, user, copies: async () => (user ? sharedFolder(user) : directory) }
}

interface Making {
  user: DatabaseUser | undefined
  random: Random
  clock: Clock
}

async function makeHome(path: string, dataDir: string, { user, random, clock }: Making): Promise<void> {
  if (!user || canEnter(user, dataDir)) {
    await mkdir(path, { mode: 0o700 }).catch(ignoring('EEXIST')).catch(cannotMake(path))
    return
  }
  const shared = await sharedFolder(user)
  await oneAtATime(join(shared, 'lock'), clock, async () => {
    if (await lstat(path).catch(ignoring('ENOENT'))) return
    await removeAbandoned(shared, dataDir, clock)
    const outside = join(shared, random.bytes(8).toString('hex'))
    await mkdir(outside, { mode: 0o700 })
    await writeFile(join(outside, BELONGS_TO), `${dataDir}\n`)
    await symlink(outside, path)
  })
}

/** A home outside keeps belonging to its data directory when that is moved. */
async function claim(directory: string, dataDir: string): Promise<void> {
  const file = join(directory, BELONGS_TO)
  const owner = await readFile(file, 'utf8').catch(ignoring('ENOENT'))
  if (owner !== undefined && owner !== `${dataDir}\n`) await writeFile(file, `${dataDir}\n`)
}

const cannotMake = (path: string) => (cause: Error) => {
  throw new EmbeddedPostgresError(
    `${path} cannot be created (${cause.message}): set MINTMARK_DATA_DIR to a writable directory`,
    { cause },
  )
}

/** Where root stores what the database's user must reach: /var/lib/mintmark, or one in the temporary folder. */
async function sharedFolder(user: DatabaseUser): Promise<string> {
  const tried = ['/var/lib/mintmark', join(tmpdir(), 'mintmark')]
  for (const folder of tried) {
    try {
      await mkdir(folder)
      await chmod(folder, 0o755)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') continue
    }
    if (!(await notOurs(folder)) && canEnter(user, folder)) return folder
  }
  throw new EmbeddedPostgresError(
    `Postgres runs as ${user.name}, and neither ${tried.join(' nor ')} is a directory of root that it can enter: set MINTMARK_DATA_DIR to a directory below one, or set DATABASE_URL`,
  )
}

/** A folder of another user, or one that others may write to, could contain anything. Returns the fault. */
async function notOurs(directory: string): Promise<string | undefined> {
  const found = await lstat(directory)
  const { uid, mode } = found
  const ours = process.getuid?.() ?? uid
  if (!found.isDirectory()) return `${directory} is not a directory: move it away`
  if (uid !== ours) {
    return `${directory} belongs to user ${uid}, but Mintmark runs as user ${ours}: run it as that user, or set MINTMARK_DATA_DIR to another directory`
  }
  if (process.platform !== 'win32' && mode & 0o022)
    return `${directory} is writable by other users: run chmod go-w on it`
  return undefined
}
