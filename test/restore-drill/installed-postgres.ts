import { execFile, execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Postgres } from '../faults/environment/postgres.ts'

/** Where distributions put the programs of each major version. */
const HOMES = '/usr/lib/postgresql'
const NEEDED = ['postgres', 'initdb', 'pg_ctl', 'pg_dump', 'pg_restore']

/** A server that is installed together with its programs for backups: the embedded one has none. */
export interface InstalledPostgres {
  postgres: Postgres
  /** The folder of its programs. */
  bin: string
  dump(file: string): Promise<void>
  /** Over the database as it is, while others use it. */
  restore(file: string): Promise<void>
}

const homes = (): string[] =>
  existsSync(HOMES)
    ? readdirSync(HOMES)
        .map(major => join(HOMES, major))
        .filter(home => NEEDED.every(program => existsSync(join(home, 'bin', program))))
    : []

/** Why there is none on this machine. */
export const lacksPostgres = (): string | undefined =>
  homes().length > 0 ? undefined : `no Postgres with pg_dump and pg_restore below ${HOMES}`

/** An empty server of the newest version. */
export async function startInstalledPostgres(): Promise<InstalledPostgres> {
  const home = homes()
    .toSorted((one, other) => Number(one.split('/').pop()) - Number(other.split('/').pop()))
    .at(-1)
  if (home === undefined) throw new Error(lacksPostgres())
  const bin = join(home, 'bin')
  // As a package of the embedded one.
  const directory = mkdtempSync(join(tmpdir(), 'mintmark-installed-'))
  execFileSync('chmod', ['755', directory])
  symlinkSync(home, join(directory, 'native'))
  const postgres = await Postgres.create({ hosts: ['127.0.0.1'] }, { directory, name: 'postgres-installed' })
  rmSync(directory, { recursive: true })
  const run = (program: string, ...words: string[]) => promisify(execFile)(join(bin, program), words)
  return {
    postgres,
    bin,
    dump: async file =>
      void (await run('pg_dump', '--format=custom', `--file=${file}`, `--dbname=${postgres.ownerUrl}`)),
    restore: async file => {
      const options = ['--no-owner', '--exit-on-error', '--clean', '--if-exists']
      await run('pg_restore', ...options, `--dbname=${postgres.ownerUrl}`, file)
    },
  }
}
