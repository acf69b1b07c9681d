import { execFile } from 'node:child_process'
import { chown, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { type DatabaseUser, findDatabaseUser } from '../../src/embedded-postgres/user.ts'

/** Root may read and write everywhere: as root, the user to be instead, to whom `path` is given. Else undefined. */
export async function ordinaryUser(path: string): Promise<DatabaseUser | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const user = await findDatabaseUser(path)
  await chown(path, user.uid, user.gid)
  return user
}

/** Whether any user may enter this folder. Root's home may be closed to all others. */
export async function isOpenToAll(folder: string): Promise<boolean> {
  if (((await stat(folder)).mode & 0o001) === 0) return false
  return folder === dirname(folder) || isOpenToAll(dirname(folder))
}

/** The URL of a module in src/, quoted, for the text of a program. */
export const source = (path: string) => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href)

/**
 * The arguments with which Node runs this text of a module as `user`. Its imports are loaded as root, because the user may
 * have no access to this folder. `process.argv` is then `[node, …args]`.
 */
export function programAs(user: DatabaseUser | undefined, script: string, ...args: string[]): string[] {
  const become = `process.setgroups([]); process.setgid(${user?.gid}); process.setuid(${user?.uid})`
  return ['--input-type=module', '-e', user ? `${become}\n${script}` : script, ...args]
}

/** Runs such a program to its end, and returns what it printed. */
export async function runAs(
  user: DatabaseUser | undefined,
  script: string,
  ...args: string[]
): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, programAs(user, script, ...args))
  return stdout
}
