import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { childEnvironment } from '../../support/child-environment.ts'
import { startTestService, type TestService } from '../../support/test-service.ts'
import { MAIN, mintmark } from '../mintmark.ts'
import { applying } from './applying.ts'

/**
 * `mintmark apply` is ended at each of its changes in turn: before the change reaches the service, and after the service has
 * made it and before its answer arrives. Then it is run again: the end is always the same.
 */

let service: TestService
let at: ReturnType<typeof applying>
let proxy: Proxy
beforeAll(async () => {
  service = await startTestService()
  at = applying(service)
  proxy = await startProxy(service.service.urls.admin)
  await service.admin('POST', '/identity-providers', {
    name: 'another',
    kind: 'oidc',
    issuer: 'https://another.example.com',
    audiences: ['https://another.example.com'],
    jwks: { keys: [] },
  })
})
afterAll(async () => {
  proxy.server.close()
  await service.stop()
})

interface Proxy {
  server: Server
  url: string
  /** Called with each change, with its number; what to do with it. */
  each: (number: number) => 'forward' | 'cut' | (() => void)
  changes: number
}

async function startProxy(target: string): Promise<Proxy> {
  const server = createServer((req, res) => void relay(req, res))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const self: Proxy = { server, url, each: () => 'forward', changes: 0 }
  async function relay(req: IncomingMessage, res: ServerResponse): Promise<void> {
    let body = ''
    for await (const chunk of req) body += chunk
    const isChange = req.method !== 'GET' && !req.url?.endsWith('/inspect') && !req.url?.includes('dry_run')
    const what = isChange ? self.each(++self.changes) : 'forward'
    if (what === 'cut') return void res.destroy()
    const headers = Object.fromEntries(
      ['authorization', 'content-type', 'if-match', 'if-none-match', 'mintmark-set', 'accept'].flatMap(
        name => (typeof req.headers[name] === 'string' ? [[name, req.headers[name] as string]] : []),
      ),
    )
    const answer = await fetch(target + req.url, {
      method: req.method ?? 'GET',
      headers,
      ...(body && { body }),
    })
    const text = await answer.text()
    // The service has made the change: its answer never arrives.
    if (typeof what === 'function') {
      what()
      return void res.destroy()
    }
    const etag = answer.headers.get('etag')
    res.writeHead(answer.status, {
      'content-type': answer.headers.get('content-type') ?? 'text/plain',
      ...(etag !== null && { etag }),
    })
    res.end(text)
  }
  return self
}

/** A set with every kind, under names of its own. */
const textOf = (id: string, tier = '1') => `resource: set
name: ${id}
---
resource: tier
name: tier-${id}
priority: ${tier}
---
resource: model
name: model-${id}
---
resource: adapter
name: adapter-${id}
base_model: model-${id}
---
resource: tenant
id: ${id}
tier: tier-${id}
adapters: [adapter-${id}]
suspended: false
---
resource: identity-provider
name: cluster
kind: oidc
issuer: https://issuer.example.com
audiences: [https://${id}.example.com]
jwks:
  keys:
    - {kty: EC, crv: P-256, x: MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4, y: 4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM, use: sig, kid: "${id}"}
---
resource: usage-reporter
name: envoy
audiences: [https://${id}.example.com]
write_secret:
  file: usage_reporters/${id}
---
resource: key
tenant: ${id}
name: ci
write_secret:
  file: ${id}/ci.key
---
resource: key
tenant: ${id}
name: pod
disabled: true
credentials:
  - {type: federated, provider: cluster, subject: robot}
`

const run = (id: string, url: string, ...more: string[]) =>
  mintmark(['apply', '-f', at.file(textOf(id)), '--write-secret', '--secret-folder', at.folder, ...more], {
    env: { ...at.env, MINTMARK_URL: url },
  })

/** Everything that the set made, without what is its own. */
async function endOf(id: string): Promise<string> {
  const exported = await mintmark(['export', '--set', id], { env: at.env })
  expect(exported.code, exported.stderr).toBe(0)
  const { data } = (await service.admin('GET', `/tenants/${id}/keys`)).body
  const states = data.map(({ name, secrets }: { name: string; secrets: Record<string, unknown>[] }) => ({
    name,
    // Revoked ones are those that an interrupted run did not write.
    usable: secrets
      .filter(({ state }) => state !== 'revoked')
      .map(({ state, ends_at, confirm_by }) => ({ state, ends_at, confirm_by })),
  }))
  const { data: objects } = (await service.admin('GET', `/set-objects?set=${id}`)).body
  const members = objects.map(({ kind, name, created_by_set }: Record<string, unknown>) => ({
    kind,
    name,
    created_by_set,
  }))
  const secret = readFileSync(join(at.folder, id, 'ci.key'), 'utf8')
  const exchanged = await service.token({ grant_type: 'client_credentials', client_secret: secret })
  // Of the usage reporter that lives, and not of one whose secret was lost.
  const reporter = objects.find(({ kind }: { kind: string }) => kind === 'usage-reporter')
  const { state } = (await service.admin('GET', `/usage-reporters/${reporter?.id}`)).body
  const reporting = readFileSync(join(at.folder, 'usage_reporters', id), 'utf8')
  const inspected = (await service.admin('POST', '/usage-reporters/inspect', { secret: reporting })).body
  const reports = [state, inspected.usage_reporter?.id === reporter?.id, inspected.secret_ends_at]
  const text = JSON.stringify({
    ...{ exported: exported.stdout, states, members, reports, exchanged: exchanged.status },
  })
  // The default is a year after the creation.
  return text.replaceAll(id, 'ID').replaceAll(/expires_at: [-\d:.TZ]+/g, 'expires_at')
}

/** Ended with SIGKILL by `end`, which is given to the proxy. */
function killed(id: string): { end: () => void; over: Promise<unknown> } {
  let child: ChildProcess | undefined
  const args = [MAIN, 'apply', '-f', at.file(textOf(id)), '--write-secret', '--secret-folder', at.folder]
  child = spawn(process.execPath, args, {
    env: childEnvironment({ ...at.env, MINTMARK_URL: proxy.url }),
    stdio: 'ignore',
  })
  const over = new Promise(resolve => child?.once('close', resolve))
  return { end: () => void child?.kill('SIGKILL'), over }
}

describe('mintmark apply', () => {
  let changes: number
  let whole: string
  beforeAll(async () => {
    proxy.changes = 0
    const done = await run('whole', proxy.url)
    expect(done.code, done.stderr).toBe(0)
    changes = proxy.changes
    whole = await endOf('whole')
    expect(changes).toBeGreaterThan(10)
  })

  it('ends the same when the connection is cut before each of its changes in turn', async () => {
    for (let number = 1; number <= changes; number++) {
      const id = `cut-${number}`
      proxy.changes = 0
      proxy.each = current => (current === number ? 'cut' : 'forward')
      const first = await run(id, proxy.url)
      expect(first.code, `change ${number}`).not.toBe(0)
      proxy.each = () => 'forward'
      const second = await run(id, proxy.url)
      expect(second.code, `change ${number}: ${second.stderr}`).toBe(0)
      expect(await endOf(id), `change ${number}`).toBe(whole)
      const before = await at.writes()
      expect((await run(id, proxy.url)).stdout).toContain('Nothing to change')
      expect(await at.writes()).toBe(before)
    }
  })

  it('ends the same when it is killed after the service made each of its changes in turn', async () => {
    for (let number = 1; number <= changes; number++) {
      const id = `killed-${number}`
      proxy.changes = 0
      const { end, over } = killed(id)
      proxy.each = current => (current === number ? end : 'forward')
      await over
      expect(proxy.changes, `change ${number}`).toBe(number)
      proxy.each = () => 'forward'
      const second = await run(id, proxy.url)
      expect(second.code, `change ${number}: ${second.stderr}`).toBe(0)
      expect(await endOf(id), `change ${number}`).toBe(whole)
    }
  })

  it('deletes the same when it is cut at each of its deletions in turn', async () => {
    const empty = (id: string) => at.file(`resource: set\nname: ${id}\n`)
    const prune = (id: string) =>
      mintmark(['apply', '-f', empty(id), '--prune', '--yes'], {
        env: { ...at.env, MINTMARK_URL: proxy.url },
      })
    proxy.changes = 0
    proxy.each = () => 'forward'
    expect((await prune('whole')).code).toBe(0)
    const deletions = proxy.changes
    expect(deletions).toBeGreaterThan(8)
    for (let number = 1; number <= deletions; number++) {
      const id = `gone-${number}`
      expect((await run(id, service.service.urls.admin)).code).toBe(0)
      proxy.changes = 0
      proxy.each = current => (current === number ? () => {} : 'forward')
      expect((await prune(id)).code, `deletion ${number}`).not.toBe(0)
      proxy.each = () => 'forward'
      const second = await prune(id)
      expect(second.code, `deletion ${number}: ${second.stderr}`).toBe(0)
      expect((await service.admin('GET', `/set-objects?set=${id}`)).body.data).toEqual([])
      for (const path of [
        `/tenants/${id}`,
        `/tiers/tier-${id}`,
        `/models/model-${id}`,
        `/adapters/adapter-${id}`,
      ])
        expect((await service.admin('GET', path)).status, path).toBe(404)
    }
  })
})
