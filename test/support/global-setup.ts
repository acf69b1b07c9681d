import { chmod, mkdtemp, readdir, rm, stat, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import type { TestProject } from 'vitest/node'
import { migrate } from '../../src/database/migrate.ts'
import { startEmbeddedPostgres } from '../../src/embedded-postgres/embedded-postgres.ts'
import { systemClock } from '../../src/system/clock.ts'
import { createLogger } from '../../src/system/logger.ts'
import { systemRandom } from '../../src/system/random.ts'

/** The server that tests use, and the migrated database that is copied for each test file. */
export interface TestPostgres {
  /** A superuser, without a database in the path. */
  ownerUrl: string
  /** A login role with only the application's rights. */
  applicationUser: string
  applicationPassword: string
  template: string
}

declare module 'vitest' {
  export interface ProvidedContext {
    postgres: TestPostgres
  }
}

/**
 * `TEST_DATABASE_URL` names a server (a superuser's URL); `TEST_POSTGRES=testcontainers` starts one in Docker, from the
 * image in `TEST_POSTGRES_IMAGE`; otherwise one is started from the embedded binaries.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await startServer(await folderInMemory())
  const suffix = systemRandom.bytes(6).toString('hex')
  const template = `mintmark_template_${suffix}`
  const applicationUser = `mintmark_test_${suffix}`
  const applicationPassword = systemRandom.bytes(16).toString('hex')
  await query(server.url, `CREATE DATABASE ${template}`)
  await migrate(withDatabase(server.url, template))
  await query(
    server.url,
    `CREATE ROLE ${applicationUser} LOGIN PASSWORD '${applicationPassword}' IN ROLE mintmark_app`,
  )
  project.provide('postgres', { ownerUrl: server.url, applicationUser, applicationPassword, template })
  return async () => {
    await query(server.url, `DROP DATABASE ${template} WITH (FORCE)`)
    await query(server.url, `DROP ROLE ${applicationUser}`)
    await server.stop()
  }
}

interface Server {
  /** A superuser's URL. */
  url: string
  stop(): Promise<void>
}

/** `parent`: the folder for the embedded server's data. */
export function startServer(parent = tmpdir()): Promise<Server> {
  const { TEST_DATABASE_URL, TEST_POSTGRES, TEST_POSTGRES_IMAGE } = process.env
  if (TEST_DATABASE_URL) return Promise.resolve({ url: TEST_DATABASE_URL, stop: async () => {} })
  return TEST_POSTGRES === 'testcontainers'
    ? containerServer(TEST_POSTGRES_IMAGE || 'postgres:18')
    : embeddedServer(parent)
}

async function containerServer(image: string): Promise<Server> {
  const { GenericContainer, Wait } = await import('testcontainers')
  const password = systemRandom.bytes(16).toString('hex')
  const container = await new GenericContainer(image)
    .withEnvironment({ POSTGRES_PASSWORD: password })
    .withCommand(['postgres', '-c', 'fsync=off', '-c', 'full_page_writes=off'])
    .withExposedPorts(5432)
    // The image starts the server twice; the second time it listens on TCP.
    .withWaitStrategy(Wait.forSuccessfulCommand('pg_isready -h 127.0.0.1 -U postgres'))
    .start()
  const url = `postgres://postgres:${password}@${container.getHost()}:${container.getMappedPort(5432)}/postgres`
  return { url, stop: async () => void (await container.stop()) }
}

const NAME = 'mintmark-test-'
const MEMORY = '/dev/shm'
/** A database for each file, and the write-ahead log of all. */
const MEMORY_BYTES = 4 * 1024 ** 3
const LONGEST_RUN_MS = 86_400_000

/** A folder in memory, if there is room: copies of the template are then quick. What runs that were killed left there is removed. */
async function folderInMemory(): Promise<string> {
  const { bavail, bsize } = await statfs(MEMORY).catch(() => ({ bavail: 0, bsize: 0 }))
  if (bavail * bsize < MEMORY_BYTES) return tmpdir()
  for (const name of await readdir(MEMORY)) {
    if (!name.startsWith(NAME)) continue
    const folder = join(MEMORY, name)
    // By age: containers share the memory, and their processes are not seen from here.
    const { mtimeMs } = await stat(folder).catch(() => ({ mtimeMs: Date.now() }))
    if (mtimeMs < Date.now() - LONGEST_RUN_MS) await rm(folder, { recursive: true, force: true })
  }
  return MEMORY
}

async function embeddedServer(parent: string): Promise<Server> {
  const dataDir = await mkdtemp(join(parent, NAME))
  // As root the database runs as another user, which would otherwise get a folder elsewhere.
  await chmod(dataDir, 0o755)
  const logger = createLogger('warn')
  const embedded = await startEmbeddedPostgres({
    dataDir,
    logger,
    clock: systemClock,
    random: systemRandom,
    durable: false,
  })
  const stop = async () => {
    await embedded.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
  return { url: withDatabase(embedded.ownerUrl, 'postgres'), stop }
}

export function withDatabase(url: string, database: string): string {
  const changed = new URL(url)
  changed.pathname = `/${database}`
  return changed.href
}

export async function query(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}
