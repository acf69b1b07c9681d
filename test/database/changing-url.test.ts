import { randomBytes } from 'node:crypto'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { formatCredential, randomId } from '../../src/api-keys/api-key.ts'
import { systemRandom } from '../../src/system/random.ts'
import { briskClock } from '../support/adjustable-clock.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

/** A service with DATABASE_URL_FILE, and a role of its own of which the password changes. */
const role = `mintmark_r_${randomBytes(6).toString('hex')}`
let database: TestDatabase
let mintmark: TestService
let directory: string
let secret: string

const urlWith = (password: string) =>
  Object.assign(new URL(database.applicationUrl), { username: role, password }).href
/** As Kubernetes does it: whole. */
async function write(text: string): Promise<void> {
  await writeFile(join(directory, 'new'), text)
  await rename(join(directory, 'new'), join(directory, 'url'))
}
const exchange = (presented: string) =>
  mintmark.token({ grant_type: 'client_credentials', client_secret: presented })
const unknownKey = () => formatCredential('mmk', randomId(systemRandom), systemRandom)
const endSessions = () =>
  database.asOwner(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '${role}'`)
const sessions = async () =>
  (await database.asOwner(`SELECT pid FROM pg_stat_activity WHERE usename = '${role}'`)).length
const readyz = () => request(`${mintmark.service.urls.ops}/readyz`)

beforeAll(async () => {
  database = await createTestDatabase()
  await database.asOwner(`CREATE ROLE ${role} LOGIN PASSWORD 'first' IN ROLE mintmark_app`)
  directory = await mkdtemp(join(tmpdir(), 'mintmark-url-'))
  await write(`${urlWith('first')}\n`)
  const env = { DATABASE_URL: '', DATABASE_URL_FILE: join(directory, 'url') }
  mintmark = await startTestService({ database, env, overrides: { clock: briskClock } })
  secret = (await mintmark.tenantWithKey()).secret
})
afterAll(async () => {
  await mintmark.stop()
  await database.asOwner(`DROP ROLE ${role}`)
  await database.drop()
  await rm(directory, { recursive: true, force: true })
})

it('a password that is rotated in the file under load, five times, fails no exchange, and new connections use it', async () => {
  let rotating = true
  const statuses = new Map<number, number>()
  const load = async () => {
    while (rotating) {
      const { status } = await exchange(secret)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
      // Without a pause this test uses a core, and other files wait.
      await sleep(100)
    }
  }
  const loads = [load(), load(), load()]
  for (let rotation = 1; rotation <= 5; rotation++) {
    const password = `next/${rotation}#`
    await database.asOwner(`ALTER ROLE ${role} PASSWORD '${password}'`)
    await write(urlWith(encodeURIComponent(password)))
    await endSessions()
    await until('it connects with the new password', sessions, count => count > 0, 30_000)
    const looked = await until(
      'an unknown key is looked up',
      () => exchange(unknownKey()),
      ({ status }) => status !== 503,
      30_000,
    )
    expect(looked.status).toBe(401)
    const before = statuses.get(200) ?? 0
    await until('the load continues', () => (statuses.get(200) ?? 0) >= before + 10)
  }
  rotating = false
  await Promise.all(loads)
  expect([...statuses.keys()]).toEqual([200])
})

it('a file that is gone or not a URL fails connections by name and without its text, and heals', async () => {
  for (const [text, reason] of [
    [undefined, /ENOENT/],
    ['postgres://u:hunter2/x@db.example/mintmark', /the file with the URL must be a URL like/],
  ] as const) {
    if (text === undefined) await rm(join(directory, 'url'))
    else await write(text)
    // Again and again: a connection that was being made has no session yet.
    const ended = () => endSessions().then(readyz)
    const {
      body,
      status,
      text: shown,
    } = await until('readyz says it', ended, ({ body }) => reason.test(body.warning ?? ''), 30_000)
    expect([status, body.status]).toEqual([200, 'ready'])
    expect(shown).not.toContain('hunter2')
    expect((await exchange(secret)).status).toBe(200)
    await write(urlWith(encodeURIComponent('next/5#')))
    await until('it heals', readyz, ({ body }) => body.warning === undefined, 30_000)
  }
  expect(mintmark.logs.join('')).not.toContain('hunter2')
})
