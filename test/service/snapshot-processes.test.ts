import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readHeader } from '../../src/snapshots/sealed-file.ts'
import type { SnapshotHeader } from '../../src/snapshots/snapshot.ts'
import { scrape } from '../observability/metrics-text.ts'
import { NO_SERVER } from '../support/replicas.ts'
import { type ServiceProcess, startProcess } from '../support/service-process.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { request, testEnvironment } from '../support/test-service.ts'
import { until } from '../support/until.ts'

/** On a machine that is busy with other suites. */
const START_MS = 120_000

/** Two replicas with two processes each, on one volume, are killed and start again without Postgres. */
describe('snapshots of several replicas with two processes each, in one folder', {
  timeout: 4 * START_MS,
}, () => {
  const folder = mkdtempSync(join(tmpdir(), 'mintmark-snapshots-'))
  const environment: Record<string, string> = {
    ...testEnvironment(),
    MINTMARK_PROCESSES: '2',
    MINTMARK_SNAPSHOT_DIR: folder,
  }
  const started: ServiceProcess[] = []
  let database: TestDatabase

  beforeAll(async () => {
    database = await createTestDatabase()
  })
  afterAll(async () => {
    await Promise.all(started.map(process => process.kill()))
    await database.drop()
    rmSync(folder, { recursive: true })
  })

  const start = (env: Record<string, string>) => {
    const process = startProcess({ ...environment, ...env })
    started.push(process)
    return process
  }
  const snapshots = () => readdirSync(folder).filter(name => name.endsWith('.snapshot'))
  const headers = () => Promise.all(snapshots().map(name => readHeader<SnapshotHeader>(join(folder, name))))

  it('each process writes a file of its own, and all of them start from the newest', async () => {
    const replicas = [1, 2].map(() => start({ DATABASE_URL: database.applicationUrl }))
    const [urls] = await Promise.all(replicas.map(replica => replica.ready(START_MS)))
    const post = (path: string, body: object) =>
      request(`${urls?.admin}/admin/v1${path}`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${environment.MINTMARK_ROOT_TOKEN}`,
          'content-type': 'application/json',
        },
        body: JSON.stringify(body),
      })
    await post('/tenants', { id: 'acme' })
    const { body } = await post('/tenants/acme/keys', {})
    const [row] = await database.asOwner<{ number: string }>('SELECT number FROM change_counter')
    const have = (all: SnapshotHeader[]) =>
      all.length === 4 && all.every(({ position }) => position.number === row?.number)
    const written = await until('four snapshots of the last change', headers, have, START_MS)
    expect(new Set(written.map(({ writer }) => writer)).size).toBe(4)

    await Promise.all(replicas.map(replica => replica.kill()))
    const again = [1, 2].map(() => start({ DATABASE_URL: NO_SERVER }))
    const served = await Promise.all(again.map(replica => replica.ready(START_MS)))
    for (const replica of again)
      await until('both are ready', () => replica.logged('process ready').length === 2, Boolean, START_MS)
    for (const { public: url, ops } of served) {
      const client_secret = body.secret as string
      const form = new URLSearchParams({ grant_type: 'client_credentials', client_secret })
      const answers = await Promise.all(
        Array.from({ length: 8 }, () => request(`${url}/oauth/token`, { method: 'POST', body: form })),
      )
      expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
      expect((await scrape(ops)).series.get('mintmark_snapshot_serving')).toBe(1)
      expect((await request(`${ops}/readyz`)).body.warning).toContain('Serving from a snapshot')
    }
    // None of them has seen more than the snapshot: no file is replaced by an older one.
    expect(snapshots()).toHaveLength(4)
  })
})
