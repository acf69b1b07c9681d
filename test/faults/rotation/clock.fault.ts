import { globSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeJwt } from 'jose'
import { afterEach, describe, expect, it } from 'vitest'
import { rewriteSigningKeys } from '../../support/sealed-rows.ts'
import { type ServiceProcess, startProcess } from '../../support/service-process.ts'
import { createTestDatabase, type TestDatabase } from '../../support/test-database.ts'
import { request, testEnvironment } from '../../support/test-service.ts'
import { until } from '../../support/until.ts'
import { storedKeys } from './replica-set.ts'

/** Of Debian's package faketime (scripts/install-test-tools.sh). Only the process itself gets another time. */
const [library] = globSync('/usr/lib/*/faketime/libfaketime.so.1')
const missing = library === undefined && process.env.MINTMARK_REQUIRE_GATEWAYS !== '1'

const root = `root-${'r'.repeat(40)}`
const running: ServiceProcess[] = []
let database: TestDatabase
let environment: Record<string, string>
afterEach(async () => {
  for (const service of running.splice(0)) await service.kill()
  await database.drop()
})

async function start(faketime: Record<string, string>) {
  database = await createTestDatabase()
  environment = testEnvironment()
  const service = startProcess({
    ...environment,
    MINTMARK_ROOT_TOKEN: root,
    MINTMARK_PUBLISH_LEAD_SECONDS: '1',
    MINTMARK_SHORT_PUBLISH_LEAD: 'allowed',
    DATABASE_URL: database.applicationUrl,
    LD_PRELOAD: library ?? '',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    ...faketime,
  })
  running.push(service)
  const urls = await service.ready(120_000)
  const admin = (path: string, body: object) =>
    request(`${urls.admin}/admin/v1${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${root}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  await admin('/tenants', { id: 'acme' })
  const { secret } = (await admin('/tenants/acme/keys', {})).body
  const exchange = async () => {
    const body = new URLSearchParams({ grant_type: 'client_credentials', client_secret: secret })
    return (await request(`${urls.public}/oauth/token`, { method: 'POST', body })).body.access_token as string
  }
  return { service, admin, exchange }
}

async function expectTimeOfTheDatabase(exchange: () => Promise<string>): Promise<void> {
  const { iat = 0, exp = 0 } = decodeJwt(await exchange())
  const [row] = await database.asOwner<{ now: number }>(
    'SELECT extract(epoch FROM clock_timestamp())::float8 AS now',
  )
  expect(Math.abs(iat - (row?.now ?? 0))).toBeLessThanOrEqual(5)
  expect(exp - iat).toBe(300)
}

/** Neither a requested nor a due rotation happens, and both report why. */
async function expectNoRotation(
  { service, admin }: Awaited<ReturnType<typeof start>>,
  words: RegExp,
): Promise<void> {
  const asked = await admin('/signing-keys/rotate', {})
  expect([asked.status, asked.body.detail]).toEqual([503, expect.stringMatching(/clocks .* differ by \d+ s/)])
  const before = (await storedKeys(database)).map(key => [key.kid, key.state])
  await rewriteSigningKeys(
    database,
    environment,
    "UPDATE signing_keys SET activates_at = date_trunc('second', now()) WHERE state = 'standby'",
  )
  const told = () =>
    service
      .output()
      .split('\n')
      .filter(line => words.test(line))
  await until('the alarm', () => told().length)
  await new Promise(resolve => setTimeout(resolve, 1_500))
  expect((await storedKeys(database)).map(key => [key.kid, key.state])).toEqual(before)
  expect(JSON.parse(told()[0] ?? '')).toMatchObject({ level: 'error', alarm: 'clock-stops-rotation' })
}

describe.skipIf(missing)('a host clock that is', () => {
  it.each([
    [
      '5 minutes fast',
      '+300s',
      /the clock of this host is (299|300)[\d.]* s ahead of the clock of the database: this replica does not rotate/,
    ],
    [
      '5 minutes slow',
      '-300s',
      /the clock of this host is (299|300)[\d.]* s behind the clock of the database: this replica does not rotate/,
    ],
  ])(
    '%s: tokens have database time, rotation is rejected, an alarm reports why',
    async (_, offset, words) => {
      const environment = await start({ FAKETIME: offset })
      await expectTimeOfTheDatabase(environment.exchange)
      await expectNoRotation(environment, words)
    },
  )

  it('set back an hour while it runs: the same, and it rotates again once the clock is right', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mintmark-clock-'))
    const file = join(folder, 'faketime')
    await writeFile(file, '+0')
    const environment = await start({ FAKETIME_TIMESTAMP_FILE: file, FAKETIME_NO_CACHE: '1' })
    await expectTimeOfTheDatabase(environment.exchange)
    await writeFile(file, '-3600s')
    await until('it is seen', () => environment.service.output().includes('behind the clock of the database'))
    await expectTimeOfTheDatabase(environment.exchange)
    await expectNoRotation(environment, /the clock of this host is (3599|3600)[\d.]* s behind/)
    await writeFile(file, '+0')
    await until('the standby was activated', async () =>
      (await storedKeys(database)).some(key => key.state === 'retiring'),
    )
    await until('alarm resolved', () => environment.service.logged('alarm resolved')[0])
    await rm(folder, { recursive: true })
  })

  it('10 seconds fast: an alarm, and rotation continues', async () => {
    const { service, admin, exchange } = await start({ FAKETIME: '+10s' })
    await expectTimeOfTheDatabase(exchange)
    expect((await admin('/signing-keys/rotate', {})).status).toBe(200)
    await until('the alarm', () => /"alarm":"clock".*10[\d.]* s ahead/.test(service.output()))
  })
})
