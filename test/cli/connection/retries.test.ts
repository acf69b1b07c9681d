import { spawn } from 'node:child_process'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { childEnvironment } from '../../support/child-environment.ts'
import { TcpProxy } from '../../support/tcp-proxy.ts'
import { createTestDatabase, type TestDatabase } from '../../support/test-database.ts'
import { startTestService, type TestService } from '../../support/test-service.ts'
import { applying } from '../apply/applying.ts'
import { MAIN, mintmark } from '../mintmark.ts'
import { type FaultyProxy, startFaultyProxy } from './faulty-proxy.ts'

/** Commands of many requests, while Postgres is down for a moment, and through a proxy that fails now and then. */

let database: TestDatabase
let postgres: TcpProxy & { url: string }
let service: TestService
let proxy: FaultyProxy
let at: ReturnType<typeof applying>
beforeAll(async () => {
  database = await createTestDatabase()
  postgres = await TcpProxy.before(database.applicationUrl)
  service = await startTestService({ database, env: { DATABASE_URL: postgres.url } })
  at = applying(service)
  proxy = await startFaultyProxy(() => service.service.urls.admin)
})
afterAll(async () => {
  proxy.close()
  await service.stop()
  await postgres.close()
  await database.drop()
})
beforeEach(() => {
  Object.assign(proxy, { each: () => 'forward', answered: () => {}, requests: 0, changes: 0 })
})

const patient = () => ({ ...at.env, MINTMARK_URL: proxy.url, MINTMARK_RETRY_SECONDS: '60' })
const run = (args: readonly string[], env: Record<string, string> = {}) =>
  mintmark(args, { env: { ...patient(), ...env } })

/** 60 documents: the set, 29 tenants and 30 keys. */
function textOf(set: string): string {
  const tenant = (number: number) => `resource: tenant\nid: ${set}-${number}\nname: ${set}`
  const key = (number: number) => `resource: key\ntenant: ${set}-${number % 29}\nname: key-${number}`
  const numbers = Array.from({ length: 30 }, (_, number) => number)
  return [`resource: set\nname: ${set}`, ...numbers.slice(0, 29).map(tenant), ...numbers.map(key)].join(
    '\n---\n',
  )
}

const keysOf = async (set: string) => {
  const { code, stdout } = await run(['key', 'list', '-o', 'json'])
  expect(code).toBe(0)
  return JSON.parse(stdout).filter(({ tenant }: { tenant: string }) => tenant.startsWith(`${set}-`))
}

describe('an apply of 60 documents', { timeout: 300_000 }, () => {
  it('goes on when Postgres goes away in the middle and comes back', async () => {
    const refused: number[] = []
    proxy.each = ({ change }) => {
      if (change === 36 && refused.length === 0) void postgres.become('cut')
      return 'forward'
    }
    proxy.answered = async status => {
      if (status !== 503) return
      refused.push(status)
      if (refused.length === 3) await postgres.become('none')
    }
    const file = at.file(textOf('outage'))
    const ended = await run(['apply', '-f', file, '--yes'])
    expect(ended.code, ended.stderr).toBe(0)
    expect(refused.length).toBeGreaterThan(2)
    expect(ended.stderr.match(/Trying again for up to 60 seconds; Ctrl-C ends the command\./g)).toHaveLength(
      1,
    )
    expect(ended.stderr).toContain('The service answers 503: ')
    expect(await keysOf('outage')).toHaveLength(30)
    expect((await run(['diff', '-f', file])).code).toBe(0)
  })

  it('makes each change once through a proxy that fails before and after the service', async () => {
    const clean = at.file(textOf('clean'))
    const before = await at.writes()
    expect((await run(['apply', '-f', clean])).code).toBe(0)
    const writes = (await at.writes()) - before
    proxy.each = ({ request }) => {
      if (request % 40 === 0) return 'cut after'
      if (request % 30 === 0) return 'cut before'
      if (request % 11 === 0) return { after: 502, retryAfter: '0' }
      return request % 7 === 0 ? { before: 503, retryAfter: '0' } : 'forward'
    }
    const file = at.file(textOf('flaky'))
    const start = await at.writes()
    const ended = await run(['apply', '-f', file])
    expect(ended.code, ended.stderr).toBe(0)
    expect((await at.writes()) - start).toBe(writes)
    proxy.each = () => 'forward'
    expect(await keysOf('flaky')).toHaveLength(30)
    expect((await run(['diff', '-f', file])).code).toBe(0)
  })

  it('makes the plan again where the lost response had a secret, or changed the version', async () => {
    const text = (priority: number) => `resource: set
name: lost
---
resource: tier
name: lost
priority: ${priority}
---
resource: tenant
id: lost
---
resource: key
tenant: lost
name: ci
write_secret:
  file: lost/ci.key
`
    const apply = (priority: number) =>
      run(['apply', '-f', at.file(text(priority)), '--write-secret', '--secret-folder', at.folder])
    let lost = 0
    proxy.each = ({ path }) => (path.endsWith('/rotate') && lost++ === 0 ? { after: 504 } : 'forward')
    const first = await apply(1)
    expect(first.code, first.stderr).toBe(0)
    expect(first.stderr).toContain('the response with its secret was lost. Reading the installation again')
    let cut = 0
    proxy.each = ({ method }) => (method === 'PUT' && cut++ === 0 ? 'cut after' : 'forward')
    const second = await apply(2)
    expect(second.code, second.stderr).toBe(0)
    // The repetition got no secret, so the key was rotated once more, and the lost secret revoked.
    expect([lost, cut]).toEqual([3, 2])
    const [{ secrets }] = await storedKeys('lost')
    expect(secrets.map(({ state }: { state: string }) => state).toSorted()).toEqual(['live', 'revoked'])
    expect((await service.admin('GET', '/tiers/lost')).body.priority).toBe(2)
  })
})

const storedKeys = async (tenant: string) => (await service.admin('GET', `/tenants/${tenant}/keys`)).body.data

describe('other commands', () => {
  it('a deletion whose response was lost is done', async () => {
    await service.admin('PUT', '/models/gone', {})
    proxy.each = ({ change }) => (change === 1 ? 'cut after' : 'forward')
    const ended = await run(['model', 'delete', 'gone'])
    expect(ended.code, ended.stderr).toBe(0)
    expect(proxy.changes).toBe(2)
  })

  it('a key whose secret was lost with the response is named, with the way to another secret', async () => {
    await service.admin('POST', '/tenants', { id: 'unlucky' })
    proxy.each = ({ change }) => (change === 1 ? { after: 502, retryAfter: '0' } : 'forward')
    const ended = await run(['key', 'create', 'unlucky', '--name', 'ci'])
    const [{ id }, ...more] = await storedKeys('unlucky')
    expect(more).toEqual([])
    expect(ended).toMatchObject({ code: 6, stdout: '' })
    expect(ended.stderr).toContain('the response with its secret was lost')
    expect(ended.stderr).toContain(id)
  })

  it('a PATCH without a version is not sent again after a proxy lost its response', async () => {
    await service.admin('POST', '/tenants', { id: 'patched' })
    proxy.each = ({ method }) => (method === 'PATCH' ? { after: 502 } : 'forward')
    const ended = await run(['tenant', 'update', 'patched', '--name', 'New'])
    expect(ended.code).toBe(6)
    expect(ended.stderr).toContain('It is unknown whether the change was made')
    expect(proxy.changes).toBe(1)
  })

  it('a request that was refused for its rate (429) is sent again, whatever it is', async () => {
    await service.admin('POST', '/tenants', { id: 'limited' })
    proxy.each = ({ change }) => (change === 1 ? { before: 429, retryAfter: '0' } : 'forward')
    expect((await run(['tenant', 'update', 'limited', '--name', 'New'])).code).toBe(0)
  })

  it.each([
    ['a wait that is longer than the patience', '61'],
    ['no patience', '0'],
  ])('%s ends the command at once', async (_, retryAfter) => {
    proxy.each = () => ({ before: 503, retryAfter })
    const ended = await run(['tenant', 'list'], retryAfter === '0' ? { MINTMARK_RETRY_SECONDS: '0' } : {})
    expect(ended).toMatchObject({ code: 6, stdout: '' })
    expect(proxy.requests).toBe(1)
    expect(ended.stderr).not.toContain('Trying again')
  })

  it('SIGINT ends a command that waits', async () => {
    proxy.each = () => ({ before: 503 })
    const child = spawn(process.execPath, [MAIN, 'tenant', 'list'], { env: childEnvironment(patient()) })
    let stderr = ''
    const waits = new Promise<void>(resolve =>
      child.stderr.on('data', chunk => {
        stderr += chunk
        if (stderr.includes('Ctrl-C')) resolve()
      }),
    )
    const over = new Promise(resolve => child.once('close', (code, signal) => resolve(signal ?? code)))
    await waits
    child.kill('SIGINT')
    expect(await over).toBe('SIGINT')
    expect(stderr).toBe(
      'mintmark: The service answers 503. Trying again for up to 60 seconds; Ctrl-C ends the command.\n',
    )
  })
})
