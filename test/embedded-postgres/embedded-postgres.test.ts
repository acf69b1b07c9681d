import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFile,
  chmod,
  chown,
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  rmdir,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import {
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
  startEmbeddedPostgres,
} from '../../src/embedded-postgres/embedded-postgres.ts'
import { openHome } from '../../src/embedded-postgres/home.ts'
import { lockHome } from '../../src/embedded-postgres/lock.ts'
import { stopLeftover } from '../../src/embedded-postgres/postmaster.ts'
import { findPackage, preparePrograms } from '../../src/embedded-postgres/programs.ts'
import { startServer } from '../../src/embedded-postgres/server.ts'
import { type DatabaseUser, findDatabaseUser } from '../../src/embedded-postgres/user.ts'
import { systemClock as clock } from '../../src/system/clock.ts'
import { createLogger } from '../../src/system/logger.ts'
import { systemRandom as random } from '../../src/system/random.ts'
import { adjustableClock, promptedClock } from '../support/adjustable-clock.ts'
import { isOpenToAll, ordinaryUser, programAs, runAs, source } from '../support/ordinary-user.ts'
import { until } from '../support/until.ts'

const asRoot = process.getuid?.() === 0
/** As root, these tests run programs as another user. */
const unreachable = asRoot && !(await isOpenToAll(import.meta.dirname))
const SHARED = '/var/lib/mintmark'

const started = new Set<EmbeddedPostgres>()
const children = new Set<ChildProcess>()
/** Data directories with a server that a killed child may have left. */
const elsewhere = new Set<string>()
const folders = new Set<string>()
const logged: string[] = []
/** Releases a lock that a test took. */
let release = () => {}
const logger = createLogger('info', { write: line => logged.push(line) })
let sharedBefore: string[]
/** A data directory with an initialized cluster, for the tests that only need one. */
let dataDir: string

beforeAll(async () => {
  sharedBefore = await readdir(SHARED).catch(() => [])
  dataDir = join(await folder(), 'data')
})

afterEach(async () => {
  for (const child of children) await kill(child)
  for (const embedded of started) await embedded.stop()
  started.clear()
  for (const directory of elsewhere) {
    await stopLeftover({ data: join(directory, 'postgres', 'data'), pgCtl: 'unused', clock }, () => {})
  }
  elsewhere.clear()
})

afterAll(async () => {
  for (const path of folders) await rm(path, { recursive: true, force: true })
  // What homes share stays where another run, or a quickstart, has begun to use it meanwhile.
  const added = (await readdir(SHARED).catch((): string[] => [])).filter(name => !sharedBefore.includes(name))
  const isFinished = (name: string) => /^lock$|^postgres-(?!.*\.new-)/.test(name)
  const processes = spawnSync('ps', ['-eo', 'args'], { encoding: 'utf8' }).stdout
  if (added.every(isFinished) && !processes.includes(`${SHARED}/`))
    for (const name of added) await rm(join(SHARED, name), { recursive: true })
  await rmdir(SHARED).catch(() => {})
})

/** An empty folder that, unlike mkdtemp's, the database's user can enter. */
async function folder(mode = 0o755): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'mintmark-embedded-test-'))
  await chmod(path, mode)
  folders.add(path)
  return path
}

/** Nothing here is lost by a crash of the machine, so only the test of that waits for the disk. */
async function start(
  directory = dataDir,
  options: Partial<Pick<EmbeddedPostgresOptions, 'durable' | 'clock'>> = { durable: false },
): Promise<EmbeddedPostgres> {
  const embedded = await startEmbeddedPostgres({ dataDir: directory, logger, clock, random, ...options })
  started.add(embedded)
  folders.add(embedded.directory)
  return embedded
}

/**
 * Starts it in a process of its own, as `user` if that is given, which then waits to be killed (or for our end); `says`
 * resolves with the first such line of it.
 */
function startElsewhere(directory = dataDir, user?: DatabaseUser) {
  const script = `
    import { startEmbeddedPostgres } from ${source('embedded-postgres/embedded-postgres.ts')}
    import { systemClock as clock } from ${source('system/clock.ts')}
    import { createLogger } from ${source('system/logger.ts')}
    import { systemRandom as random } from ${source('system/random.ts')}
    const say = line => console.log(JSON.stringify(line))
    const logger = createLogger('silent'), onProgress = progress => say({ progress })
    await startEmbeddedPostgres({ dataDir: process.argv[1], logger, clock, random, onProgress })
      .then(say, ({ message }) => say({ message }))
    process.stdin.resume().on('end', () => process.exit())`
  const child = spawn(process.execPath, programAs(user, script, directory))
  children.add(child)
  elsewhere.add(directory)
  const heard: Record<string, string>[] = []
  const reader = createInterface(child.stdout).on('line', line => heard.push(JSON.parse(line)))
  const says = async (field: string) => {
    for (;;) {
      const line = heard.find(said => field in said)
      if (line) return line
      await new Promise(resolve => reader.once('line', resolve))
    }
  }
  return { child, says, outcome: () => Promise.race([says('ownerUrl'), says('message')]) }
}

/** kill -9, and waits for the end. */
async function kill(child: ChildProcess): Promise<void> {
  children.delete(child)
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

async function query(url: string, text: string): Promise<Record<string, unknown>> {
  const client = new pg.Client(url)
  await client.connect()
  try {
    return (await client.query(text)).rows[0]
  } finally {
    await client.end()
  }
}

const postmasterOf = async ({ directory }: EmbeddedPostgres) =>
  Number.parseInt(await readFile(join(directory, 'data', 'postmaster.pid'), 'utf8'), 10)

/** An ended process may remain in the table as long as its parent, such as pid 1 of a container, ignores it. */
function runs(pid: number): boolean {
  const state = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }).stdout.trim()
  return state !== '' && !state.startsWith('Z')
}

const refusal = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no refusal',
    error => error.message,
  )

describe('the embedded Postgres', () => {
  it('comes up from nothing in UTF8, durable, with the application as a member of mintmark_app', async () => {
    const { ownerUrl, applicationUrl } = await start(dataDir, {})
    const setting = (name: string) => `current_setting('${name}') as ${name}`
    const names = ['server_encoding', 'fsync', 'synchronous_commit', 'max_connections', 'listen_addresses']
    expect(await query(ownerUrl, `select current_user as role, ${names.map(setting)}`)).toEqual({
      role: 'postgres',
      server_encoding: 'UTF8',
      fsync: 'on',
      synchronous_commit: 'on',
      max_connections: '100',
      listen_addresses: '127.0.0.1',
    })
    const application = `select current_user as role, current_database() as db, pg_has_role('mintmark_app', 'usage') as member,
      (select rolsuper or rolcreatedb or rolcreaterole from pg_roles where rolname = current_user) as powers`
    expect(await query(applicationUrl, application)).toEqual({
      role: 'mintmark',
      db: 'mintmark',
      member: true,
      powers: false,
    })
  })

  it('keeps its data over a restart', async () => {
    const first = await start()
    await query(first.ownerUrl, 'create table kept as select 42 as answer')
    await first.stop()
    const second = await start()
    expect(await query(second.ownerUrl, 'select answer from kept')).toEqual({ answer: 42 })
  })

  it('keeps passwords secret: not in arguments, logs or files that others can read', async () => {
    const { directory, ownerUrl, applicationUrl, ...embedded } = await start()
    await refusal(query(ownerUrl, `select 1/0 /* ${ownerUrl} */`))
    const passwords = [ownerUrl, applicationUrl].map(url => new URL(url).password)
    const pid = await postmasterOf({ directory, ownerUrl, applicationUrl, ...embedded })
    const visible = [await readFile(join(directory, 'postgres.log'), 'utf8'), logged.join()]
    if (process.platform === 'linux') visible.push(await readFile(`/proc/${pid}/cmdline`, 'utf8'))
    for (const password of passwords) {
      expect(password.length).toBeGreaterThan(20)
      expect(visible.join()).not.toContain(password)
    }
    expect((await stat(join(directory, 'credentials.json'))).mode & 0o777).toBe(0o600)
    expect((await stat(directory)).mode & 0o007).toBe(0)
    expect((await readdir(directory)).filter(name => name.includes('.new-'))).toEqual([])
  })

  it('has nothing of the environment, where the secrets of the service are', async () => {
    vi.stubEnv('MINTMARK_PEPPERS', 'p1:of-the-service')
    const { ownerUrl } = await start().finally(() => vi.unstubAllEnvs())
    await query(ownerUrl, 'create table environment (line text)')
    await query(ownerUrl, "copy environment from program 'env'")
    const { names } = await query(
      ownerUrl,
      "select array_agg(split_part(line, '=', 1)) as names from environment",
    )
    expect(names).toContain('PATH')
    expect(names).not.toContain('MINTMARK_PEPPERS')
  })

  it('rotates a long log', async () => {
    const { directory, stop } = await start()
    await stop()
    const file = join(directory, 'postgres.log')
    await writeFile(file, Buffer.alloc(9 * 1024 * 1024, '.'))
    await start()
    expect((await stat(file)).size).toBeLessThan(10_000)
    expect(await stat(`${file}.1`)).toMatchObject({ size: 9 * 1024 * 1024, mode: 0o100600 })
  })

  it('rotates a log that grows while it runs', async () => {
    const prompted = promptedClock(60_000)
    const { directory } = await start(dataDir, { durable: false, clock: prompted })
    const file = join(directory, 'postgres.log')
    await appendFile(file, Buffer.alloc(9 * 1024 * 1024, '.'))
    await prompted.runJobs()
    expect((await stat(file)).size).toBeLessThan(10_000)
  })

  it('leads a separate process group, so that Ctrl-C does not reach it', async () => {
    const pid = await postmasterOf(await start())
    expect(process.kill(-pid, 0)).toBe(true)
  })

  it('logs that it ended by itself, recovers, and can still be stopped', async () => {
    const embedded = await start()
    await query(embedded.ownerUrl, 'create table survived as select 1 as one')
    const pid = await postmasterOf(embedded)
    process.kill(pid, 'SIGKILL')
    await until('it is logged', () => logged.join().includes('the embedded Postgres ended unexpectedly'))
    await embedded.stop()
    const next = await start()
    expect(await query(next.ownerUrl, 'select one from survived')).toEqual({ one: 1 })
  })
})

it('ends with a process that exits without stopping it', async () => {
  const { child, says } = startElsewhere()
  const pid = await postmasterOf((await says('ownerUrl')) as unknown as EmbeddedPostgres)
  child.stdin.end()
  await once(child, 'exit')
  await until('it has ended', () => !runs(pid), Boolean, 45_000)
})

it('is stopped at once when a fast shutdown takes over thirty seconds', async () => {
  const slow = adjustableClock()
  const embedded = await start(dataDir, { durable: false, clock: slow })
  const file = join(embedded.directory, 'postgres.log')
  const begin = (await stat(file)).size
  const logs = (request: string) =>
    until(
      `it logs a ${request}`,
      async () => (await readFile(file)).subarray(begin).toString(),
      text => text.includes(`received ${request} request`),
    )
  const client = new pg.Client(embedded.ownerUrl).on('error', () => {})
  await client.connect()
  const backend = (await client.query('select pg_backend_pid() as pid')).rows[0].pid
  process.kill(backend, 'SIGSTOP')
  try {
    const stopping = embedded.stop()
    await logs('fast shutdown')
    slow.forward(31)
    await logs('immediate shutdown')
    if (runs(backend)) process.kill(backend, 'SIGCONT')
    await stopping
  } finally {
    if (runs(backend)) process.kill(backend, 'SIGCONT')
    await client.end().catch(() => {})
  }
})

describe('after a kill -9', () => {
  it.each([
    ['of Mintmark, the next start stops the Postgres that was left behind', false],
    ['of Mintmark and of Postgres, the next start recovers', true],
  ])('%s', async (_, both) => {
    const { child, says } = startElsewhere()
    const first = (await says('ownerUrl')) as unknown as EmbeddedPostgres
    const pid = await postmasterOf(first)
    const [value, table] = [random.integer(1_000_000), both ? 'left_by_both' : 'left_by_one']
    await query(first.ownerUrl, `create table ${table} as select ${value} as value`)
    await kill(child)
    if (both) process.kill(pid, 'SIGKILL')
    const second = await start()
    expect(runs(pid)).toBe(false)
    expect(await query(second.ownerUrl, `select value from ${table}`)).toEqual({ value })
  })

  it('of Mintmark during initdb, the next start begins again and leaves nothing behind', async () => {
    const directory = join(await folder(), 'data')
    const { child, says } = startElsewhere(directory)
    await says('progress')
    // Where this process was paused, it may be over: then there is nothing to begin again.
    await until(
      'initdb has begun',
      () => readdir(join(directory, 'postgres')),
      names => names.some(name => name.startsWith('data')),
    )
    await kill(child)
    const embedded = await start(directory)
    expect(await query(embedded.ownerUrl, 'select 1 as one')).toEqual({ one: 1 })
    expect((await readdir(embedded.directory)).filter(name => name.includes('.new-'))).toEqual([])
  })

  it('a postmaster.pid that now names another process neither stops the start nor that process', async () => {
    const embedded = await start()
    await embedded.stop()
    const user = asRoot ? await findDatabaseUser(join(embedded.directory, 'data')) : undefined
    const otherProcess = spawn('sleep', ['60'], { ...(user && { uid: user.uid, gid: user.gid }) })
    children.add(otherProcess)
    await writeFile(
      join(embedded.directory, 'data', 'postmaster.pid'),
      `${otherProcess.pid}\n${embedded.directory}/data\n`,
    )
    expect(await query((await start()).ownerUrl, 'select 1 as one')).toEqual({ one: 1 })
    expect(otherProcess.exitCode ?? otherProcess.signalCode).toBeNull()
  })
})

it('a copy of a data directory in use does not touch the server of the original', async () => {
  const original = await start()
  const pid = await postmasterOf(original)
  const copy = join(await folder(), 'data')
  await cp(dataDir, copy, { recursive: true, preserveTimestamps: true })
  if (asRoot) {
    const user = await findDatabaseUser(join(original.directory, 'data'))
    spawnSync('chown', ['-R', `${user.uid}:${user.gid}`, join(copy, 'postgres', 'data')])
  }
  await start(copy)
  expect(runs(pid)).toBe(true)
  expect(await query(original.ownerUrl, 'select 1 as one')).toEqual({ one: 1 })
})

describe('one data directory', () => {
  const uses = (pid: number | undefined) =>
    `Mintmark (pid ${pid}) already uses ${dataDir}: stop it, or set MINTMARK_DATA_DIR to another directory`

  it('serves one process: another is rejected, and so is a second start in the same one', async () => {
    const { child, says } = startElsewhere()
    await says('ownerUrl')
    expect(await refusal(start())).toBe(uses(child.pid))
    await kill(child)
    await start()
    expect(await refusal(start())).toBe(uses(process.pid))
    expect(await startElsewhere().outcome()).toEqual({ message: uses(process.pid) })
  })

  it('is taken by exactly one of three concurrent starts, on the first start too', async () => {
    const directory = join(await folder(), 'data')
    const outcomes = await Promise.all(Array.from({ length: 3 }, () => startElsewhere(directory).outcome()))
    expect(outcomes.filter(outcome => 'ownerUrl' in outcome)).toHaveLength(1)
    expect(outcomes.filter(outcome => outcome.message?.includes('already uses'))).toHaveLength(2)
    for (const child of children) await kill(child)
    await start(directory)
  })
})

describe('fails with the cure for', () => {
  it('NODE_ENV=production', async () => {
    vi.stubEnv('NODE_ENV', 'production')
    const said = await refusal(start(join(dataDir, 'never'))).finally(() => vi.unstubAllEnvs())
    expect(said).toMatch(/for development.*set DATABASE_URL/)
  })

  it('a platform whose package is not installed', async () => {
    expect(await refusal(findPackage('linux-riscv64'))).toMatch(/optional packages.*DATABASE_URL/)
  })

  it('programs that do not run here', async () => {
    const directory = await folder()
    await mkdir(join(directory, 'native', 'bin'), { recursive: true })
    await writeFile(join(directory, 'native', 'bin', 'initdb'), '#!/lib/ld-musl-none\n', { mode: 0o755 })
    const home = { directory, user: undefined, copies: async () => directory }
    const found = { directory, name: 'copy' }
    expect(await refusal(preparePrograms(found, home, random, () => {}))).toMatch(
      /does not run.*DATABASE_URL/,
    )
  })

  it.each([
    ['a cluster of another major version', 'PG_VERSION', '17\n', /Postgres 17.*Nothing was changed.*Dump/],
    ['a folder of something else', 'novel.txt', 'Chapter 1', /nor a Postgres cluster: move it away/],
  ])('%s, and leaves it as it is', async (_, name, content, message) => {
    const directory = join(await folder(), 'data')
    const home = await openHome(await mkdir(directory).then(() => directory), random)
    await mkdir(join(home.directory, 'data'))
    await writeFile(join(home.directory, 'data', name), content)
    await writeFile(join(home.directory, 'credentials.json'), '{}')
    expect(await refusal(start(directory))).toMatch(message)
    expect(await readFile(join(home.directory, 'data', name), 'utf8')).toBe(content)
  })

  it.each([
    ['the data directory', '.', 'a file exists in its place|is not a directory|EEXIST'],
    [
      'the lock',
      'postgres/lock',
      'lock cannot be locked \\(unable to open database file\\): allow this user',
    ],
    [
      'the passwords',
      'postgres/credentials.json',
      'credentials.json cannot be used: it is a directory \\(EISDIR\\). Allow this user',
    ],
    [
      'the log',
      'postgres/postgres.log',
      'postgres.log cannot be used: it is a directory \\(EISDIR\\). Allow this user',
    ],
  ])('another file in place of %s, with its name and the cure', async (_, place, message) => {
    const directory = join(await folder(), 'data')
    if (place === '.') await writeFile(directory, '')
    else await mkdir(join(directory, place), { recursive: true })
    const said = await refusal(start(directory))
    expect(said).toMatch(new RegExp(message))
    expect(said).toContain(directory)
    expect(said).toContain('set MINTMARK_DATA_DIR to')
  })

  // The programs of Postgres are in this folder.
  it.skipIf(unreachable)('a data directory that this user may not write to', async () => {
    const directory = await folder(0o555)
    const user = await ordinaryUser(directory)
    const said = async () => (await startElsewhere(directory, user).outcome()).message
    expect(await said()).toMatch(/cannot be created .*EACCES.*set MINTMARK_DATA_DIR/)
    await chmod(directory, 0o755)
    await mkdir(join(directory, 'postgres'), { mode: 0o500 })
    await ordinaryUser(join(directory, 'postgres'))
    expect(await said()).toMatch(/lock cannot be locked .*set MINTMARK_DATA_DIR/)
    await chmod(join(directory, 'postgres'), 0o755)
  })

  it('a server that ends while starting, with the end of its log', async () => {
    const embedded = await start()
    await embedded.stop()
    const file = join(embedded.directory, 'data', 'postgresql.conf')
    const good = await readFile(file, 'utf8')
    await writeFile(file, `${good}\nwork_memory = lots\n`)
    expect(await refusal(start())).toMatch(/ended \(exit code 1\).*postgres\.log:\n.*work_memory/s)
    await writeFile(file, good)
  })

  it('passwords that the server does not accept, without a long wait', async () => {
    const { directory, stop } = await start()
    await stop()
    const [file, log] = [join(directory, 'credentials.json'), join(directory, 'postgres.log')]
    const good = await readFile(file, 'utf8')
    await writeFile(file, JSON.stringify({ ...JSON.parse(good), owner: 'another' }))
    await truncate(log)
    // Two seconds, of the two minutes that a recovery may take.
    const quick = { ...clock, monotonicMs: () => 4 * clock.monotonicMs() }
    const said = await refusal(start(dataDir, { durable: false, clock: quick }))
    await writeFile(file, good)
    expect(said).toMatch(/did not answer: password authentication failed.*postgres\.log:/s)
    expect((await readFile(log, 'utf8')).match(/FATAL: +password/g)?.length).toBeLessThan(100)
  })
})

it('tries another port when its own was taken meanwhile, after a pause', async () => {
  const { directory, ...embedded } = await start()
  await embedded.stop()
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const { port: takenPort } = taken.address() as { port: number }
  const ports = [takenPort, Number(new URL(embedded.ownerUrl).port)]
  const home = await openHome(dataDir, random)
  /** Those that are over, of at least 200 ms: whether it answers is asked more often. */
  let pauses = 0
  const pausesBefore: number[] = []
  const sleep = async (ms: number, signal?: AbortSignal) => {
    await clock.sleep(ms, signal)
    if (ms >= 200) pauses++
  }
  const server = await startServer({
    programs: await preparePrograms(await findPackage(), home, random, () => {}),
    data: join(directory, 'data'),
    user: home.user,
    ownerPassword: new URL(embedded.ownerUrl).password,
    logFile: join(directory, 'postgres.log'),
    clock: { ...clock, sleep },
    durable: false,
    onProgress: () => {},
    choosePort: async () => {
      pausesBefore.push(pauses)
      return ports.shift() ?? 0
    },
  })
  await server.client.end()
  await server.stop()
  taken.close()
  expect(server.port).not.toBe(takenPort)
  expect(pausesBefore).toEqual([0, 1])
})

const notLink = async (path: string) => !(await lstat(path)).isSymbolicLink()

it('runs from a package without links for its libraries, as npm leaves it without install scripts', async () => {
  const directory = await folder()
  await cp((await findPackage()).directory, directory, { recursive: true, filter: notLink })
  const home = await openHome(directory, random)
  const programs = await preparePrograms({ directory, name: 'copy' }, home, random, () => {})
  expect(programs.postgres.startsWith(join(directory, 'native'))).toBe(true)
})

it('copies programs that cannot be linked where they are', async () => {
  const directory = await folder()
  await cp((await findPackage()).directory, directory, { recursive: true, filter: notLink })
  await chmod(join(directory, 'native', 'lib'), 0o555)
  const home = await folder()
  const user = await ordinaryUser(home)
  const script = `
    import { openHome } from ${source('embedded-postgres/home.ts')}
    import { preparePrograms } from ${source('embedded-postgres/programs.ts')}
    import { systemRandom as random } from ${source('system/random.ts')}
    const [, directory, dataDir] = process.argv
    const home = await openHome(dataDir, random)
    const programs = await preparePrograms({ directory, name: 'copy' }, home, random, () => {})
    console.log(programs.postgres)`
  const postgres = await runAs(user, script, directory, home)
  await chmod(join(directory, 'native', 'lib'), 0o755)
  expect(postgres.startsWith(join(home, 'postgres', 'copy'))).toBe(true)
})

describe.skipIf(!asRoot)('as root, whose Postgres runs as another user (needs root)', () => {
  it('keeps the cluster outside a folder that this user cannot enter, finds it again, and drops it with the folder', async () => {
    const closed = await folder(0o700)
    const first = await start(closed)
    expect(first.directory).not.toContain(closed)
    expect(await readlink(join(closed, 'postgres'))).toBe(first.directory)
    expect(await readFile(join(first.directory, 'belongs-to'), 'utf8')).toBe(`${closed}\n`)
    await query(first.ownerUrl, 'create table kept ()')
    await first.stop()
    const second = await start(closed)
    expect(second.directory).toBe(first.directory)
    expect(await query(second.ownerUrl, "select to_regclass('kept')::text as found")).toEqual({
      found: 'kept',
    })
    await second.stop()
    await rm(join(closed, 'postgres'))
    expect((await start(closed)).directory).not.toBe(first.directory)
  })

  describe('removes what a deleted data directory left outside', () => {
    const isThere = (path: string) =>
      stat(path).then(
        () => true,
        () => false,
      )
    const closedData = async () => join(await folder(0o700), 'data')
    const homeOf = async (data: string) => {
      const { directory } = await openHome(data, random)
      folders.add(directory)
      return directory
    }

    it('when it is created again', async () => {
      const data = await closedData()
      const first = await homeOf(data)
      await rm(data, { recursive: true })
      expect(await homeOf(data)).not.toBe(first)
      expect(await isThere(first)).toBe(false)
    })

    it('when the data directory of another clone is deleted', async () => {
      const data = await closedData()
      const home = await homeOf(data)
      await rm(data, { recursive: true })
      await homeOf(await closedData())
      expect(await isThere(home)).toBe(false)
    })

    it.each<[string, (data: string, home: string) => Promise<unknown>]>([
      [
        'that a process uses',
        async (data, home) => {
          release = await lockHome(home, data)
          await rm(data, { recursive: true })
        },
      ],
      [
        'whose data directory may be on a disk that is not mounted',
        data => rm(dirname(data), { recursive: true }),
      ],
      [
        'whose data directory was moved, and used since',
        async data => {
          await rename(data, `${data}-elsewhere`)
          await homeOf(`${data}-elsewhere`)
        },
      ],
      ['that is in use at its place', async () => {}],
    ])('but not one %s', async (_, happen) => {
      const data = await closedData()
      const home = await homeOf(data)
      await happen(data, home)
      await homeOf(await closedData())
      expect(await isThere(home)).toBe(true)
      release()
    })

    it('with the Postgres that a kill -9 left behind on it', { timeout: 60_000 }, async () => {
      const data = await closedData()
      const { child, says } = startElsewhere(data)
      const first = (await says('ownerUrl')) as unknown as EmbeddedPostgres
      const pid = await postmasterOf(first)
      await kill(child)
      expect(runs(pid)).toBe(true)
      await rm(data, { recursive: true })
      await homeOf(data)
      expect(runs(pid)).toBe(false)
      expect(await isThere(first.directory)).toBe(false)
    })

    it('and creates one home for three concurrent starts', { timeout: 60_000 }, async () => {
      const data = await closedData()
      const outcomes = await Promise.all(Array.from({ length: 3 }, () => startElsewhere(data).outcome()))
      expect(outcomes.filter(outcome => 'ownerUrl' in outcome)).toHaveLength(1)
      const owners = await Promise.all(
        (await readdir(SHARED)).map(name =>
          readFile(join(SHARED, name, 'belongs-to'), 'utf8').catch(() => ''),
        ),
      )
      expect(owners.filter(owner => owner === `${data}\n`)).toHaveLength(1)
      folders.add(await homeOf(data))
    })
  })

  it('runs as an existing user, never as root, and keeps the rest of the home from it', async () => {
    const { directory } = await start()
    const user = await findDatabaseUser(join(directory, 'data'))
    expect(user.uid).not.toBe(0)
    expect(await stat(join(directory, 'data'))).toMatchObject({ uid: user.uid, mode: 0o40700 })
    expect(await stat(directory)).toMatchObject({ uid: 0, gid: user.gid, mode: 0o40710 })
  })

  it.each([
    ['belongs to someone else', 0o755, 65534, /belongs to user 65534/],
    ['can be written to by others', 0o777, 0, /is writable by other users/],
    ['can be written to by a group', 0o775, 0, /is writable by other users/],
  ])('refuses a home that %s', async (_, mode, uid, message) => {
    const directory = await folder()
    await mkdir(join(directory, 'postgres'))
    await chmod(join(directory, 'postgres'), mode)
    await chown(join(directory, 'postgres'), uid, uid)
    expect(await refusal(start(directory))).toMatch(message)
  })
})
