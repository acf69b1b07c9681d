import { execFileSync, spawnSync } from 'node:child_process'
import { lchown, lstat } from 'node:fs/promises'
import { EmbeddedPostgresError } from './error.ts'

/** The account that runs Postgres when this process is root, because Postgres does not run as root. */
export interface DatabaseUser {
  name: string
  uid: number
  gid: number
}

export const runsAsRoot = (): boolean => process.getuid?.() === 0

/** The owner of an existing cluster, else `postgres`, else `nobody`: existing accounts only. */
export async function findDatabaseUser(cluster: string): Promise<DatabaseUser> {
  const owner = await lstat(cluster).catch(ignoring('ENOENT'))
  if (owner && owner.uid !== 0) return { name: `user ${owner.uid}`, uid: owner.uid, gid: owner.gid }
  const user = lookUp('postgres') ?? lookUp('nobody')
  if (!user) {
    throw new EmbeddedPostgresError(
      'Postgres does not run as root, and neither the user "postgres" nor "nobody" exists: start Mintmark as an ordinary user, or set DATABASE_URL',
    )
  }
  return user
}

function lookUp(name: string): DatabaseUser | undefined {
  const id = (flag: string) => Number(execFileSync('id', [flag, name], { encoding: 'utf8', stdio: 'pipe' }))
  try {
    return { name, uid: id('-u'), gid: id('-g') }
  } catch {
    return undefined
  }
}

/**
 * Options for child_process: run as `user` (undefined = this user), in an accessible folder, without our environment's
 * secrets.
 */
export function asUser(user: DatabaseUser | undefined, cwd: string) {
  const env: NodeJS.ProcessEnv = { LC_ALL: 'C', TZ: 'UTC' }
  for (const name of ['PATH', 'SystemRoot', 'TEMP', 'TMP']) {
    if (process.env[name] !== undefined) env[name] = process.env[name]
  }
  return { cwd, env, windowsHide: true, ...(user && { uid: user.uid, gid: user.gid }) }
}

/** Tested by an attempt, not computed: access lists, mount options and security modules apply too. */
export function canEnter(user: DatabaseUser, directory: string): boolean {
  const { error, status } = spawnSync('/bin/sh', ['-c', 'cd -- "$1"', 'sh', directory], asUser(user, '/'))
  if (error) {
    throw new EmbeddedPostgresError(
      `Postgres does not run as root, and this process cannot switch to ${user.name}: start Mintmark as an ordinary user, or set DATABASE_URL`,
      { cause: error },
    )
  }
  return status === 0
}

/** Changes the owner of `path` (never of a link's target) to `user`; does nothing when Postgres runs as this user. */
export async function giveTo(user: DatabaseUser | undefined, path: string): Promise<void> {
  if (user) await lchown(path, user.uid, user.gid)
}

/** For `.catch`: turns errors of these codes into undefined. */
export function ignoring(...codes: string[]): (error: unknown) => undefined {
  return error => {
    if (!codes.includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}
