import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { type ServiceProcess, startProcess } from '../support/service-process.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'
import { BUSY, timed, until } from '../support/until.ts'

/** A process that stalls at the worst moment: it has taken the next number of the change feed, and not committed. */

let here: TestService
let proxy: TcpProxy & { url: string }
let writer: ServiceProcess
let urls: { public: string; admin: string; ops: string }

beforeAll(async () => {
  here = await startTestService()
  proxy = await TcpProxy.before(here.database.applicationUrl)
  writer = startProcess({ ...here.environment, DATABASE_URL: proxy.url })
  urls = await writer.ready()
})
afterEach(() => {
  proxy.release()
  writer.child.kill('SIGCONT')
})
afterAll(async () => {
  await writer.kill()
  await proxy.close()
  await here.stop()
})

const revokeAtWriter = (keyId: string) =>
  request(`${urls.admin}/admin/v1/keys/${keyId}/revoke`, {
    method: 'POST',
    headers: { authorization: `Bearer ${here.rootToken}`, 'content-type': 'application/json' },
    body: '{}',
  })
const exchange = (secret: string) => here.token({ grant_type: 'client_credentials', client_secret: secret })

it.each([1, 2, 3])(
  'it is ended by Postgres, and others revoke within a second; nothing acknowledged is lost (%i)',
  async () => {
    const its = await here.tenantWithKey()
    const others = await here.tenantWithKey()
    const holding = proxy.holdAnswerTo('UPDATE change_counter')
    const unanswered = revokeAtWriter(its.keyId)
    await holding
    await until('it holds the counter', () => proxy.holding === 1)
    writer.child.kill('SIGSTOP')

    const { ms, result } = await timed(() => here.admin('POST', `/keys/${others.keyId}/revoke`))
    expect([result.status, (await exchange(others.secret)).status]).toEqual([200, 401])
    expect(ms).toBeLessThan(1_000 * BUSY)

    writer.child.kill('SIGCONT')
    proxy.release()
    expect((await unanswered).status, 'what was undone is not acknowledged').toBe(503)
    expect((await exchange(its.secret)).status).toBe(200)
    expect((await exchange(others.secret)).status).toBe(401)
    expect(
      (
        await until(
          'it writes again',
          () => revokeAtWriter(its.keyId),
          ({ status }) => status === 200,
        )
      ).status,
    ).toBe(200)
    expect((await exchange(its.secret)).status).toBe(401)
  },
)
