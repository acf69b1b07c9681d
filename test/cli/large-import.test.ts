import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { childEnvironment } from '../support/child-environment.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { type FaultyProxy, startFaultyProxy } from './connection/faulty-proxy.ts'
import { MAIN, mintmarkProcess } from './mintmark.ts'

/**
 * Imports of many keys: what a dry run finds, and what interruptions leave. MINTMARK_IMPORT_KEYS=100000 imports as many, and the time and
 * memory are printed.
 */

const KEYS = Number(process.env.MINTMARK_IMPORT_KEYS ?? 2_000)
const folder = mkdtempSync(join(tmpdir(), 'mintmark-large-import-'))
let service: TestService
let proxy: FaultyProxy
let env: Record<string, string>
beforeAll(async () => {
  service = await startTestService()
  proxy = await startFaultyProxy(() => service.service.urls.admin)
  env = {
    ...{ MINTMARK_URL: proxy.url, MINTMARK_ADMIN_TOKEN: service.rootToken, MINTMARK_RETRY_SECONDS: '60' },
    // An import of 100,000 keys needs no more.
    NODE_OPTIONS: '--max-old-space-size=256',
  }
  await service.admin('PATCH', '/installation', { policy: { max_live_keys_per_tenant: 1_000_000 } })
})
afterAll(async () => {
  proxy.close()
  await service.stop()
})

const hashOf = (key: string) => createHash('sha256').update(key).digest('base64')
const row = (id: string, owner: string, more: object = {}) => ({
  ...{ id, hash: hashOf(randomBytes(20).toString('hex')), name: id, owner_id: owner, enabled: true },
  ...more,
})
function fileOf(rows: readonly object[]): string {
  const path = join(folder, `${randomBytes(4).toString('hex')}.ndjson`)
  writeFileSync(path, rows.map(each => JSON.stringify(each)).join('\n'))
  return path
}
const run = async (...args: string[]) => {
  const ended = await mintmarkProcess(['import', 'unkey', ...args, '-o', 'json'], { env })
  expect(ended.code, ended.stderr).toBe(0)
  return JSON.parse(ended.stdout)
}
const stored = async (): Promise<Record<string, number>[]> =>
  service.database.asOwner(
    'SELECT count(*)::int AS keys, count(DISTINCT client_id)::int AS clients FROM api_key_secrets WHERE client_id IS NOT NULL',
  )

it('is killed and interrupted in the middle, and then repeated: each key is there once', async () => {
  const file = fileOf(Array.from({ length: KEYS }, (_, number) => row(`k${number}`, `team ${number % 40}`)))
  for (const signal of ['SIGKILL', 'SIGINT'] as const) {
    const child = spawn(process.execPath, [MAIN, 'import', 'unkey', file], {
      env: childEnvironment(env),
      stdio: 'ignore',
    })
    const over = new Promise(resolve => child.once('close', (_, by) => resolve(by)))
    let imports = 0
    proxy.each = ({ path, change }) => {
      // The service makes this change, and the command never learns of it.
      if (change > 0 && path.endsWith('/imported-clients') && ++imports === 2) child.kill(signal)
      return 'forward'
    }
    expect(await over).toBe(signal)
    expect(imports).toBeGreaterThanOrEqual(2)
  }
  proxy.each = () => 'forward'
  const start = performance.now()
  const report = await run(file)
  console.info(
    `${KEYS} keys of 40 tenants: ${report.keys.created} new and ${report.keys.exists} from before in ${((performance.now() - start) / 1000).toFixed(1)} s.`,
  )
  expect(report.keys).toMatchObject({ refused: 0 })
  expect(report.keys.created + report.keys.exists).toBe(KEYS)
  expect(await stored()).toEqual([{ keys: KEYS, clients: KEYS }])
  expect((await run(file)).keys).toEqual({ created: 0, exists: KEYS, refused: 0 })
})

it('of a dry run is refused what the import refuses, also of tenants that do not exist yet and far apart in the file', async () => {
  const [{ hash }] = [row('x', 'y')] as [{ hash: string }]
  await run(fileOf([row('before', 'Earlier', { hash })]))
  const many = Array.from({ length: 300 }, (_, number) => row(`far-${number}`, 'New team'))
  const file = fileOf([
    ...many,
    row('far-0', 'New team'),
    row('same-secret', 'New team', { hash: (many[1] as { hash: string }).hash }),
    row('in the database', 'New team', { hash }),
    row('also-in-the-database', 'New team', { hash }),
    row('no-hash', 'New team', { hash: 'x' }),
    row('long-hash', 'New team', { hash: 'x'.repeat(200) }),
  ])
  const [dry, real] = [await run(file, '--dry-run'), await run(file)]
  expect(dry).toEqual({ ...real, dry_run: true })
  expect(real.keys).toEqual({ created: 300, exists: 0, refused: 6 })
  expect(real.notes.map(({ code }: { code: string }) => code)).toContain('repeated')
})

it('of a dry run has the limits of the policy for tenants that do not exist yet', async () => {
  await service.admin('PATCH', '/installation', {
    policy: { max_live_keys_per_tenant: 3, contact_required: true },
  })
  const file = fileOf(Array.from({ length: 5 }, (_, number) => row(`limited-${number}`, 'Small team')))
  const [without, alsoWithout] = [await run(file, '--dry-run'), await run(file)]
  expect([without.keys, alsoWithout.keys]).toEqual(Array(2).fill({ created: 0, exists: 0, refused: 5 }))
  expect(without.notes.map(({ code }: { code: string }) => code)).toContain('tenant_refused: contact')
  const contact = ['--contact', 'team@example.com']
  const [dry, real] = [await run(file, ...contact, '--dry-run'), await run(file, ...contact)]
  expect([dry.keys, real.keys]).toEqual(Array(2).fill({ created: 3, exists: 0, refused: 2 }))
})
