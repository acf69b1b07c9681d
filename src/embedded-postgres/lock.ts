import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { EmbeddedPostgresError } from './error.ts'

const SQLITE_BUSY = 5

/** Locks that this process holds: a lock that nothing refers to would be released by garbage collection. */
const held = new Set<DatabaseSync>()

/**
 * Takes the folder `home` for this process and returns the function that gives it back; throws
 * EmbeddedPostgresError when another process (or this one) has it.
 *
 * The lock is the kernel's own on an open file, which Node reaches through SQLite: it is atomic, and it ends with
 * the process however that ended, so that no dead, reused or other container's pid is ever mistaken for a holder.
 * The pid in `mintmark.pid` is only for the error message and for people.
 */
export async function lockHome(home: string, dataDir: string): Promise<() => void> {
  const lock = new DatabaseSync(join(home, 'lock'), { timeout: 0 })
  const pidFile = join(home, 'mintmark.pid')
  try {
    lock.exec('pragma journal_mode = off; begin exclusive')
  } catch (error) {
    lock.close()
    if ((error as { errcode?: number }).errcode !== SQLITE_BUSY) throw error
    const pid = await readFile(pidFile, 'utf8').catch(() => '')
    throw new EmbeddedPostgresError(
      `Mintmark (pid ${pid.trim() || 'unknown'}) already uses ${dataDir}; stop it, or set MINTMARK_DATA_DIR to another folder`,
    )
  }
  held.add(lock)
  await writeFile(pidFile, `${process.pid}\n`)
  return () => {
    if (held.delete(lock)) lock.close()
  }
}
