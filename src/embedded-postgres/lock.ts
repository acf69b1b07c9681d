import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Clock } from '../system/clock.ts'
import { EmbeddedPostgresError } from './error.ts'

const SQLITE_BUSY = 5

/** Locks of this process: an unreferenced lock would be released by garbage collection. */
const held = new Set<DatabaseSync>()

/**
 * Locks the folder `home` for this process and returns the function that unlocks it; throws EmbeddedPostgresError when
 * another process (or this one) has it.
 *
 * The lock is the kernel's own on an open file, which Node reaches through SQLite: it is atomic and ends with the
 * process, so no dead, reused or other container's pid is mistaken for a holder. The pid in `mintmark.pid` is only for
 * the error message and for people.
 */
export async function lockHome(home: string, dataDir: string): Promise<() => void> {
  const pidFile = join(home, 'mintmark.pid')
  const lock = tryLock(join(home, 'lock'))
  if (lock === undefined) {
    const pid = await readFile(pidFile, 'utf8').catch(() => '')
    throw new EmbeddedPostgresError(
      `Mintmark (pid ${pid.trim() || 'unknown'}) already uses ${dataDir}: stop it, or set MINTMARK_DATA_DIR to another directory`,
    )
  }
  held.add(lock)
  await writeFile(pidFile, `${process.pid}\n`)
  return () => {
    if (held.delete(lock)) lock.close()
  }
}

const POLL_MS = 50

/** Runs `work` under the lock `file`, after waiting for other processes. */
export async function oneAtATime<T>(file: string, clock: Clock, work: () => Promise<T>): Promise<T> {
  let lock = tryLock(file)
  for (; lock === undefined; lock = tryLock(file)) await clock.sleep(POLL_MS)
  held.add(lock)
  try {
    return await work()
  } finally {
    held.delete(lock)
    lock.close()
  }
}

/** The lock, held until it is closed; undefined when another process has it. */
export function tryLock(file: string): DatabaseSync | undefined {
  let lock: DatabaseSync | undefined
  try {
    lock = new DatabaseSync(file, { timeout: 0 })
    lock.exec('pragma journal_mode = off; begin exclusive')
    return lock
  } catch (error) {
    lock?.close()
    const { errcode, message } = error as Error & { errcode?: number }
    if (errcode === SQLITE_BUSY) return undefined
    if (errcode === undefined) throw error
    throw new EmbeddedPostgresError(
      `${file} cannot be locked (${message}): allow this user to read and write it, or set MINTMARK_DATA_DIR to another directory`,
      { cause: error },
    )
  }
}
