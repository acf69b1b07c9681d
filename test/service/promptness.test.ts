import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { migrate } from '../../src/database/migrate.ts'
import { startEmbeddedPostgres } from '../../src/embedded-postgres/embedded-postgres.ts'
import { readModel } from '../../src/gateway/model-in-body.ts'
import { BodyTurns } from '../../src/http/body-turns.ts'
import { systemClock as clock } from '../../src/system/clock.ts'
import { createLogger } from '../../src/system/logger.ts'
import { systemRandom as random } from '../../src/system/random.ts'
import { ask, bearer, tokenFor } from '../gateway/check-client.ts'
import { startTwoReplicas, type TwoReplicas } from '../support/replicas.ts'
import type { TcpProxy } from '../support/tcp-proxy.ts'
import { createTestDatabase } from '../support/test-database.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'
import { medianOfThree, timed, until } from '../support/until.ts'

/** How quick a few things are that other suites show to be right. This one has the machine to itself. */

let replicas: TwoReplicas
let mintmark: TestService
/** Another replica, whose database can be taken away. */
let other: TestService
let proxy: TcpProxy
beforeAll(async () => {
  replicas = await startTwoReplicas()
  ;({ mintmark, other, proxy } = replicas)
})
afterAll(() => replicas.stop())

const statusOf = async (credential: string) => (await ask(other, { headers: bearer(credential) })).status

it('a service is ready within 2 s of the migration that it waited for', async () => {
  const waited = async () => {
    const empty = await createTestDatabase({ empty: true })
    const waiting = await startTestService({ database: empty, awaitReady: false })
    const readyz = async () => (await request(`${waiting.service.urls.ops}/readyz`)).body.reason ?? 'ready'
    await until('it says why it is not ready', readyz, reason => /migrat/.test(reason))
    await migrate(empty.ownerUrl)
    const { ms } = await timed(() => until('ready', readyz, reason => reason === 'ready'))
    await waiting.stop()
    await empty.drop()
    return ms
  }
  expect(await medianOfThree(2_000, waited)).toBeLessThan(2_000)
})

it('an imported client is known to another replica within 1.5 s, and its revocation too', async () => {
  await mintmark.admin('POST', '/tenants', { id: 'acme' })
  let count = 0
  const longerOfBoth = async () => {
    const id = `known-${count++}`
    const client = { client_id: id, tenant: 'acme', scheme: 'sha256', hash: sha256OfX }
    const { body } = await mintmark.admin('POST', '/imported-clients', { clients: [client] })
    const there = async () =>
      (await other.token({ grant_type: 'client_credentials', client_id: id, client_secret: 'x' })).status
    const letIn = await timed(() => until('it is let in', there, status => status === 200))
    await mintmark.admin('POST', `/keys/${body.rows[0].key}/revoke`, {})
    const refused = await timed(() => until('it is refused', there, status => status === 401))
    return Math.max(letIn.ms, refused.ms)
  }
  expect(await medianOfThree(1_500, longerOfBoth)).toBeLessThan(1_500)
})
const sha256OfX = '2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881'

it('the token of a revoked key is refused by another replica within a second', async () => {
  const waited = async () => {
    const { secret, keyId } = await mintmark.tenantWithKey()
    const token = await tokenFor(mintmark, secret)
    expect(await statusOf(token)).toBe(200)
    await mintmark.admin('POST', `/keys/${keyId}/revoke`)
    const refused = () =>
      until(
        'it is refused',
        () => statusOf(token),
        status => status === 401,
      )
    return (await timed(refused)).ms
  }
  expect(await medianOfThree(1_000, waited)).toBeLessThan(1_000)
})

it.each(['hang', 'freeze'] as const)(
  'tokens are checked in under a second when the connection to Postgres does this: %s',
  async fault => {
    const known = await tokenFor(mintmark, (await mintmark.tenantWithKey()).secret)
    await proxy.become(fault)
    const checked = async () => {
      const unknown = await tokenFor(mintmark, (await mintmark.tenantWithKey()).secret)
      const { ms, result } = await timed(async () => [await statusOf(known), await statusOf(unknown)])
      expect(result).toEqual([200, 200])
      return ms
    }
    expect(await medianOfThree(1_000, checked)).toBeLessThan(1_000)
    await proxy.become('none')
  },
)

it('a model is found in four megabytes within a tenth of a second', async () => {
  const body = Buffer.from(JSON.stringify({ image: 'A'.repeat(4_000_000), model: 'a' }))
  const found = async () => {
    const { ms, result } = await timed(async () => (await readModel(body, true, new BodyTurns())).model)
    expect(result).toBe('a')
    return ms
  }
  expect(await medianOfThree(100, found)).toBeLessThan(100)
})

it('the embedded Postgres starts again within 2 s', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'mintmark-embedded-test-'))
  await chmod(dataDir, 0o755)
  const start = () => startEmbeddedPostgres({ dataDir, logger: createLogger('silent'), clock, random })
  await (await start()).stop()
  const restarted = async () => {
    const { ms, result } = await timed(start)
    await result.stop()
    return ms
  }
  expect(await medianOfThree(2_000, restarted)).toBeLessThan(2_000)
  await rm(dataDir, { recursive: true })
})
