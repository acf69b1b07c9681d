import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatCredential, randomId } from '../../src/api-keys/api-key.ts'
import { onDatabase } from '../../src/cli/commands/audit-verify.ts'
import { runMigrations } from '../../src/cli/commands/migrate.ts'
import { appliedMigrations } from '../../src/database/migrations.ts'
import { systemRandom } from '../../src/system/random.ts'
import { briskClock } from '../support/adjustable-clock.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

/**
 * A service with a URL without a password and a command that prints it, on a server that asks for one (scram-sha-256), and a
 * role of its own of which the password changes.
 */
const role = `mintmark_r_${randomBytes(6).toString('hex')}`
const owner = `mintmark_o_${randomBytes(6).toString('hex')}`
let database: TestDatabase
let mintmark: TestService
let directory: string
let secret: string
let statuses: Map<number, number>
let isLoaded = true
let loads: Promise<void>[]

const urlOf = (username: string) =>
  Object.assign(new URL(database.applicationUrl), { username, password: '' }).href
/** The command: a program that may print anything to stderr, and reads no more than it needs. */
const command = (body: string) => writeFile(join(directory, 'print'), `#!/bin/sh\n${body}\n`)
const PRINT = 'echo "debug: token hunter2" >&2\ncat "$(dirname "$0")/password-$1"'
const store = (password: string, username = role) =>
  writeFile(join(directory, `password-${username}`), `${password}\n`)
const words = () => `${join(directory, 'print')} {user} {host}:{port}`
const exchange = (presented: string) =>
  mintmark.token({ grant_type: 'client_credentials', client_secret: presented })
const unknownKey = () => formatCredential('mmk', randomId(systemRandom), systemRandom)
const endSessions = () =>
  database.asOwner(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '${role}'`)
const readyz = () => request(`${mintmark.service.urls.ops}/readyz`)
const isLookedUp = () =>
  until(
    'an unknown key is looked up',
    () => exchange(unknownKey()),
    ({ status }) => status === 401,
    30_000,
  )

beforeAll(async () => {
  database = await createTestDatabase()
  await database.asOwner(`CREATE ROLE ${role} LOGIN PASSWORD 'first' IN ROLE mintmark_app`)
  await database.asOwner(`CREATE ROLE ${owner} LOGIN SUPERUSER PASSWORD 'of-the-owner'`)
  directory = await mkdtemp(join(tmpdir(), 'mintmark-password-'))
  await command(PRINT)
  await chmod(join(directory, 'print'), 0o755)
  await store('first')
  await store('of-the-owner', owner)
  const env = { DATABASE_URL: urlOf(role), DATABASE_PASSWORD_COMMAND: words() }
  mintmark = await startTestService({ database, env, overrides: { clock: briskClock } })
  secret = (await mintmark.tenantWithKey()).secret
  statuses = new Map()
  const load = async () => {
    while (isLoaded) {
      const { status } = await exchange(secret)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
      // Without a pause this file uses a core for half a minute, and other files wait.
      await sleep(100)
    }
  }
  loads = [load(), load(), load()]
})
afterAll(async () => {
  isLoaded = false
  await Promise.all(loads)
  await mintmark.stop()
  await database.asOwner(`DROP ROLE ${role}, ${owner}`)
  await database.drop()
  await rm(directory, { recursive: true, force: true })
})

it('a password that the command prints, rotated under load five times, fails no exchange, and new connections use it', async () => {
  for (let rotation = 1; rotation <= 5; rotation++) {
    const password = `next/${rotation}#"$`
    await database.asOwner(`ALTER ROLE ${role} PASSWORD '${password}'`)
    await store(password)
    await endSessions()
    await isLookedUp()
    const before = statuses.get(200) ?? 0
    await until('the load goes on', () => (statuses.get(200) ?? 0) >= before + 10)
  }
  expect([...statuses.keys()]).toEqual([200])
})

describe('a command that fails is named, its output is not shown, known keys are exchanged, and it heals', () => {
  it.each([
    ['that ends with a status', 'echo hunter2; echo hunter2 >&2; exit 3', /ended with status 3/],
    ['that prints nothing', 'echo hunter2 >&2', /printed nothing/],
    ['that prints two lines', 'echo hunter2; echo hunter2', /printed more than one line/],
    ['that prints without an end', 'exec yes hunter2', /printed more than 16384 bytes/],
    [
      'that hangs',
      'echo hunter2\nsleep 300 &\necho $! > "$(dirname "$0")/sleeper"\nwait',
      /was stopped after 5 s/,
    ],
    ['that is killed', 'kill -9 $$', /failed: SIGKILL/],
    ['that is not there', undefined, /failed: ENOENT/],
  ])('one %s', async (_, body, reason) => {
    if (body === undefined) await rm(join(directory, 'print'))
    else await command(body)
    // The password that is kept is no longer accepted, as a token that ended.
    await database.asOwner(`ALTER ROLE ${role} PASSWORD 'unknown'`)
    const ended = () => endSessions().then(readyz)
    const isNamed = ({ body: { warning = '' } }: { body: { warning?: string } }) => reason.test(warning)
    const { status, text } = await until('readyz says it', ended, isNamed, 30_000)
    expect(status).toBe(200)
    expect(text).toContain('run DATABASE_PASSWORD_COMMAND as the user')
    expect(text).not.toContain('hunter2')
    expect((await exchange(unknownKey())).status).toBe(503)
    await database.asOwner(`ALTER ROLE ${role} PASSWORD 'again'`)
    await store('again')
    await command(PRINT)
    await chmod(join(directory, 'print'), 0o755)
    await until('it heals', readyz, ({ body }) => body.warning === undefined, 30_000)
    await isLookedUp()
    expect([...statuses.keys()]).toEqual([200])
    expect(mintmark.logs.join('')).not.toContain('hunter2')
  })

  it('leaves no process of a command that hung', async () => {
    const pid = Number(await readFile(join(directory, 'sleeper'), 'utf8'))
    expect(() => process.kill(pid, 0)).toThrow('ESRCH')
  })
})

it('gets the user and the host, and no secret of the service in its environment', async () => {
  await command(`env > "$(dirname "$0")/environment"\necho "$*" > "$(dirname "$0")/parameters"\n${PRINT}`)
  const secrets = {
    MIGRATE_DATABASE_URL: urlOf(owner),
    LITELLM_DATABASE_URL: 'postgres://litellm:pw@db/litellm',
  }
  await runMigrations({ ...process.env, ...mintmark.environment, ...secrets })
  const { hostname, port } = new URL(database.applicationUrl)
  expect(await readFile(join(directory, 'parameters'), 'utf8')).toBe(`${owner} ${hostname}:${port}\n`)
  const environment = await readFile(join(directory, 'environment'), 'utf8')
  expect(environment).toContain('PATH=')
  expect(environment).not.toMatch(/^(MINTMARK|DATABASE|MIGRATE|LITELLM)_/m)
})

it('a command that needs more than a second serves commands of one connection too', async () => {
  await command(`sleep 1.2\n${PRINT}`)
  const environment = { ...process.env, ...mintmark.environment, MIGRATE_DATABASE_URL: urlOf(owner) }
  await runMigrations(environment)
  const read = () => onDatabase(environment, opened => opened.run(db => appliedMigrations(db)))
  // On a busy machine the command may take longer than it has.
  await until('it is connected', read, applied => applied.includes('0001_initial'), 60_000)
})

it('a command that fails is named by commands too', async () => {
  await command('echo hunter2 >&2; exit 7')
  const environment = { ...process.env, ...mintmark.environment, MIGRATE_DATABASE_URL: urlOf(owner) }
  const failure = await runMigrations(environment).catch((error: Error) => error.message)
  expect(failure).toMatch(
    /^The database cannot be used: DATABASE_PASSWORD_COMMAND \(print\) ended with status 7 \(run /,
  )
})
