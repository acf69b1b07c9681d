import { readdir, readFile, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Clock } from '../system/clock.ts'
import { tryLock } from './lock.ts'
import { stopLeftover } from './postmaster.ts'
import { ignoring } from './user.ts'

/** The file in a home outside its data directory that names that directory. */
export const BELONGS_TO = 'belongs-to'

const HOME = /^[0-9a-f]{16}$/

/**
 * Removes homes in root's shared folder of which the data directory was deleted, and their links: those of `dataDir`
 * itself, which now has no link, and those with a data directory missing from an existing folder. (Without that folder
 * the disk may only be unmounted.) A home in use is kept. The caller has the lock under which homes are created.
 */
export async function removeAbandoned(shared: string, dataDir: string, clock: Clock): Promise<void> {
  for (const name of await readdir(shared)) {
    const home = join(shared, name)
    const owner = HOME.test(name)
      ? await readFile(join(home, BELONGS_TO), 'utf8').catch(ignoring('ENOENT'))
      : undefined
    if (owner !== undefined && (owner.trimEnd() === dataDir || (await isDeleted(owner.trimEnd())))) {
      await removeUnused(home, clock)
    }
  }
}

const isDeleted = async (path: string) => !(await isThere(path)) && (await isThere(dirname(path)))

const isThere = async (path: string) => (await stat(path).catch(ignoring('ENOENT', 'ENOTDIR'))) !== undefined

async function removeUnused(home: string, clock: Clock): Promise<void> {
  const lock = tryLock(join(home, 'lock'))
  if (lock === undefined) return
  try {
    const data = join(home, 'data')
    await stopLeftover({ data, pgCtl: '', clock }, () => {})
    // One that cannot be identified is kept.
    if (!(await isThere(join(data, 'postmaster.pid')))) await rm(home, { recursive: true, force: true })
  } finally {
    lock.close()
  }
}
