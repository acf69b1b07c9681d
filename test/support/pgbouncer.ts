import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { freePort } from './free-port.ts'
import { until } from './until.ts'

const installed = spawnSync('pgbouncer', ['--version']).status === 0

/** True: skip. Where the gateways are required (CI), a missing binary fails instead. */
export const lacksPgBouncer = (): boolean => !installed && process.env.MINTMARK_REQUIRE_GATEWAYS !== '1'

/** PgBouncer in transaction mode, with few server connections. */
export interface PgBouncer {
  /** A URL with PgBouncer in place of the server. */
  through(databaseUrl: string): string
  stop(): Promise<void>
}

/** In front of the server of these URLs, for their roles. */
export async function startPgBouncer(...databaseUrls: [string, ...string[]]): Promise<PgBouncer> {
  if (!installed) throw new Error('MINTMARK_REQUIRE_GATEWAYS=1, and pgbouncer is not installed')
  const roles = databaseUrls.map(url => new URL(url))
  const server = new URL(databaseUrls[0])
  const directory = await mkdtemp(join(tmpdir(), 'mintmark-pgbouncer-'))
  const port = await freePort()
  const users = join(directory, 'users')
  const user = (url: URL) => `"${decodeURIComponent(url.username)}" "${decodeURIComponent(url.password)}"\n`
  await writeFile(users, roles.map(user).join(''))
  await writeFile(join(directory, 'ini'), configuration(server, port, users))
  for (const [path, mode] of [
    [directory, 0o755],
    [users, 0o644],
    [join(directory, 'ini'), 0o644],
  ] as const) {
    await chmod(path, mode)
  }
  // It does not run as root.
  const asRoot = process.getuid?.() === 0 ? ['-u', 'nobody'] : []
  const child = spawn('pgbouncer', [...asRoot, join(directory, 'ini')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.on('data', chunk => {
    said += chunk
  })
  const through = (url: string) => {
    const changed = new URL(url)
    changed.hostname = '127.0.0.1'
    changed.port = String(port)
    return changed.href
  }
  try {
    await until('PgBouncer answers', () => answers(through(server.href)))
  } catch (error) {
    child.kill('SIGKILL')
    throw new Error(`${(error as Error).message}\n${said}`)
  }
  return { through, stop: () => stop(child, directory) }
}

const configuration = (server: URL, port: number, users: string) => `
[databases]
* = host=${server.hostname} port=${server.port || 5432}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${users}
pool_mode = transaction
default_pool_size = 3
max_client_conn = 200
ignore_startup_parameters = extra_float_digits
server_reset_query =
`

async function answers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 1000 })
  client.on('error', () => {})
  try {
    await client.connect()
    await client.query('select 1')
    return true
  } finally {
    await client.end().catch(() => {})
  }
}

async function stop(child: ChildProcess, directory: string): Promise<void> {
  const ended = new Promise(resolve => child.once('exit', resolve))
  child.kill('SIGKILL')
  await ended
  await rm(directory, { recursive: true, force: true })
}
