import { execFile, spawn } from 'node:child_process'
import { appendFile, chmod, cp, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import { migrate } from '../../../src/database/migrate.ts'
import { type Home, openHome } from '../../../src/embedded-postgres/home.ts'
import {
  findPackage,
  type Programs,
  type ProgramsPackage,
  preparePrograms,
} from '../../../src/embedded-postgres/programs.ts'
import { asUser } from '../../../src/embedded-postgres/user.ts'
import { systemRandom } from '../../../src/system/random.ts'
import { freePort } from '../../support/free-port.ts'
import { until } from '../../support/until.ts'
import { childrenOf, isThere } from './processes.ts'

const DATABASE = 'mintmark'
/** Its connection limit. */
export const MAX_CONNECTIONS = 100

/** Its addresses, its network namespace (undefined: ours), and the folder of its data (undefined: a temporary one). */
export interface Place {
  hosts: readonly [string, ...string[]]
  namespace?: string
  folder?: string
}

/** A separate Postgres, from the embedded binaries, for fault injection. */
export class Postgres {
  readonly #home: Home
  readonly #programs: Programs
  readonly #place: Place
  readonly #folder: string
  readonly port: number
  #exited: Promise<void> = Promise.resolve()
  #pid: number | undefined

  private constructor(home: Home, programs: Programs, place: Place, folder: string, port: number) {
    this.#home = home
    this.#programs = programs
    this.#place = place
    this.#folder = folder
    this.port = port
  }

  /** Migrated, with the application's login role, and started. */
  static async create(place: Place = { hosts: ['127.0.0.1'] }, from?: ProgramsPackage): Promise<Postgres> {
    const postgres = await Postgres.empty(place, from)
    try {
      await postgres.#fill()
      return postgres
    } catch (error) {
      await postgres.remove()
      throw error
    }
  }

  /** Started, without a database of Mintmark; of another version if `from` is its package. */
  static async empty(place: Place = { hosts: ['127.0.0.1'] }, from?: ProgramsPackage): Promise<Postgres> {
    const postgres = await Postgres.#prepare(place, from)
    try {
      await postgres.#make()
      return postgres
    } catch (error) {
      await postgres.remove()
      throw error
    }
  }

  async #make(): Promise<void> {
    await this.#run(
      this.#programs.initdb,
      `--pgdata=${this.#data}`,
      '--username=postgres',
      '--auth=trust',
      '--encoding=UTF8',
      '--locale=C',
    )
    await appendFile(
      join(this.#data, 'pg_hba.conf'),
      'host all all 10.77.0.0/16 trust\nhost replication all 127.0.0.1/32 trust\n',
    )
    await this.start()
  }

  async #fill(): Promise<void> {
    await this.sql(`CREATE DATABASE ${DATABASE}`, [], 'postgres')
    await migrate(this.ownerUrl)
    await this.sql('CREATE ROLE mintmark LOGIN IN ROLE mintmark_app')
    await this.sql('CREATE EXTENSION pg_stat_statements')
  }

  static async #prepare(place: Place, from?: ProgramsPackage): Promise<Postgres> {
    const folder = await mkdtemp(join(place.folder ?? tmpdir(), 'mintmark-fault-'))
    // As root Postgres runs as another user, which needs access.
    await chmod(folder, 0o755)
    const home = await openHome(folder, systemRandom)
    const programs = await preparePrograms(from ?? (await findPackage()), home, systemRandom, () => {})
    await chmod(home.directory, 0o755)
    if (home.user) await promisify(execFile)('chown', [`${home.user.uid}`, home.directory])
    const port = await freePort(place.namespace ? '127.0.0.1' : place.hosts[0])
    return new Postgres(home, programs, place, folder, port)
  }

  /** Of a superuser. */
  get ownerUrl(): string {
    return this.#url('postgres', this.#place.hosts[0])
  }

  /** Of a role with only the application's rights, at one of its addresses. */
  applicationUrl(host = this.#place.hosts[0]): string {
    return this.#url('mintmark', host)
  }

  #url(role: string, host: string): string {
    return `postgres://${role}@${host}:${this.port}/${DATABASE}`
  }

  /** Runs one statement as the superuser, on a separate connection. */
  async sql<Row extends pg.QueryResultRow = pg.QueryResultRow>(
    statement: string,
    values: unknown[] = [],
    database = DATABASE,
  ): Promise<Row[]> {
    const url = new URL(this.ownerUrl)
    url.pathname = `/${database}`
    const client = new pg.Client({
      connectionString: url.href,
      connectionTimeoutMillis: 10_000,
      application_name: 'fault',
    })
    client.on('error', () => {})
    await client.connect()
    try {
      return (await client.query<Row>(statement, values)).rows
    } finally {
      await client.end()
    }
  }

  /** Writes a file that only the server may read, as it demands of a private key, and returns its path. */
  async file(name: string, content: string): Promise<string> {
    const path = join(this.#home.directory, name)
    await writeFile(path, content, { mode: 0o600 })
    const { user } = this.#home
    if (user) await promisify(execFile)('chown', [`${user.uid}:${user.gid}`, path])
    return path
  }

  /** Starts the server and returns once it answers. */
  async start(settings: Record<string, string> = {}): Promise<void> {
    const log = await open(join(this.#home.directory, 'postgres.log'), 'a')
    const { user } = this.#home
    const all = { ...this.#settings(), ...settings }
    const server = [
      this.#programs.postgres,
      '-D',
      this.#data,
      ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ]
    const become = user ? ['setpriv', `--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups'] : []
    const enter = this.#place.namespace ? ['ip', 'netns', 'exec', this.#place.namespace] : []
    const [program = '', ...words] = [...enter, ...become, ...server]
    const child = spawn(program, words, {
      ...asUser(undefined, this.#data),
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
    })
    await log.close()
    this.#pid = child.pid
    let ended = false
    this.#exited = new Promise<void>(resolve => {
      child.once('error', () => resolve())
      child.once('exit', () => resolve())
    }).then(() => {
      ended = true
    })
    const answers = async () => {
      if (ended) throw new Error(await readFile(join(this.#home.directory, 'postgres.log'), 'utf8'))
      return this.sql('SELECT 1', [], 'postgres').then(() => true)
    }
    await until('Postgres answers', answers, Boolean, 60_000)
  }

  /** A standby that follows `through` (a superuser's URL to this server), from a copy of this cluster. */
  async standby(through: string): Promise<Postgres> {
    const standby = await Postgres.#prepare({ hosts: ['127.0.0.1'] })
    await this.sql("SELECT pg_create_physical_replication_slot('standby', true)")
    const label = await this.#copyTo(standby.#data)
    await Promise.all([
      appendFile(join(standby.#data, 'backup_label'), label),
      appendFile(join(standby.#data, 'standby.signal'), ''),
      rm(join(standby.#data, 'postmaster.pid'), { force: true }),
    ])
    const { user } = this.#home
    if (user) await promisify(execFile)('chown', ['-R', `${user.uid}:${user.gid}`, standby.#data])
    const { hostname, port } = new URL(through)
    const primary_conninfo = `host=${hostname} port=${port} user=postgres application_name=standby`
    await standby.start({ primary_conninfo, primary_slot_name: 'standby' }).catch(async error => {
      await standby.remove()
      throw error
    })
    return standby
  }

  /** An online copy (PostgreSQL manual, "Making a Base Backup Using the Low Level API"); returns the backup label. */
  async #copyTo(data: string): Promise<string> {
    const client = new pg.Client({ connectionString: this.ownerUrl })
    await client.connect()
    try {
      await client.query("SELECT pg_backup_start('standby', true)")
      const isRuntime = (path: string) =>
        /\/(pg_wal\/.+|pg_replslot\/.+|postmaster\.(pid|opts)|pgsql_tmp.*)$/.test(path)
      await cp(this.#data, data, { recursive: true, filter: path => !isRuntime(path) })
      const stopped = await client.query<{ labelfile: string }>('SELECT labelfile FROM pg_backup_stop(false)')
      return stopped.rows[0]?.labelfile ?? ''
    } finally {
      await client.end()
    }
  }

  /** Signals the server and all its children, each by its pid. */
  signal(signal: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL'): void {
    const pid = this.#pid
    if (pid === undefined) return
    // Stopped first, it starts no child that would be missed.
    if (signal !== 'SIGCONT') send(pid, 'SIGSTOP')
    for (const each of [pid, ...childrenOf(pid)]) send(each, signal)
  }

  /** kill -9 of the server and all its children. */
  async kill(): Promise<void> {
    this.signal('SIGSTOP')
    const pids = this.#pid === undefined ? [] : childrenOf(this.#pid)
    this.signal('SIGKILL')
    await this.#exited
    this.#pid = undefined
    // A child that outlives its server would keep the shared memory and prevent the next start.
    while (pids.some(isThere)) await sleep(10)
  }

  async remove(): Promise<void> {
    this.signal('SIGCONT')
    await this.kill()
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 3 })
  }

  get #data(): string {
    return join(this.#home.directory, 'data')
  }

  #settings(): Record<string, string> {
    return {
      listen_addresses: this.#place.hosts.join(','),
      port: String(this.port),
      unix_socket_directories: '',
      max_connections: String(MAX_CONNECTIONS),
      shared_preload_libraries: 'pg_stat_statements',
      'pg_stat_statements.track_utility': 'on',
      logging_collector: 'off',
      log_checkpoints: 'off',
    }
  }

  async #run(program: string, ...words: string[]): Promise<void> {
    await promisify(execFile)(program, words, asUser(this.#home.user, this.#home.directory))
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
