import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startApiServer } from '../istiod/api-server.ts'
import { type SyncProcess, startSync } from '../istiod/sync-process.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { lacksPrometheus, type Prometheus, startPrometheus } from './prometheus.ts'

/** The dashboard of gateways in a real Prometheus that scrapes Mintmark and a `mintmark sync`. Without istiod. */

const deploy = (path: string) => fileURLToPath(new URL(`../../deploy/${path}`, import.meta.url))
const dashboard = JSON.parse(
  readFileSync(deploy('observability/mintmark-gateways-dashboard.json'), 'utf8'),
) as {
  panels: { title: string; targets?: { expr: string }[]; gridPos: Record<'x' | 'y' | 'w' | 'h', number> }[]
}
const queries = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))

it('no two panels cover each other', () => {
  const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, index) => `${x + (index % w)},${y + Math.floor(index / w)}`),
  )
  expect(new Set(cells).size).toBe(cells.length)
})

describe.skipIf(lacksPrometheus())('the dashboard of gateways', () => {
  let mintmark: TestService
  let sync: SyncProcess
  let prometheus: Prometheus
  const folder = mkdtempSync(join(tmpdir(), 'mintmark-dashboard-'))
  const ends: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })]

  beforeAll(async () => {
    mintmark = await startTestService()
    ends.push(() => mintmark.stop())
    const api = await startApiServer(folder, end => ends.push(end))
    const istio = join(folder, 'istio.yaml')
    const text = readFileSync(deploy('istio/request-authentication.yaml'), 'utf8')
    const issuer = 'https://tokens.example.test'
    const { urls } = mintmark.service
    writeFileSync(
      istio,
      text
        .replaceAll('https://tokens.example.com', issuer)
        .replace(/jwksUri: .*/, `jwksUri: ${new URL('/.well-known/jwks.json', urls.public).href}`),
    )
    sync = await startSync(folder, { istio, kubeconfig: api.kubeconfig, intervalSeconds: 5, issuer })
    ends.push(() => sync.program.stop())
    await until(
      'sync has the lease',
      () => sync.metric('mintmark_sync_leading'),
      value => value === 1,
      30_000,
    )
    prometheus = await startPrometheus({ targets: [urls.ops, sync.url], rules: 'groups: []' })
    ends.push(() => prometheus.stop())
    const { secret } = await mintmark.tenantWithKey()
    for (let round = 0; round < 20; round++) {
      await mintmark.token({ grant_type: 'client_credentials', client_secret: secret })
      await fetch(`${urls.gateway}/check`, { headers: { authorization: `Bearer ${secret}` } })
      await fetch(`${urls.public}/.well-known/jwks.json`)
      await sleep(100)
    }
  }, 120_000)
  afterAll(async () => {
    for (const end of ends.reverse()) await end()
  })

  it.each(queries)('%s', async expr => {
    const query = expr.replaceAll('$__rate_interval', '2s').replaceAll('$instance', '.*')
    const ask = async () => (await prometheus.get('query', { query })).result as unknown[]
    if (query.includes('pilot_')) {
      // Prometheus would reject it if it were wrong.
      expect(await ask()).toEqual([])
      return
    }
    const { length } = await until(query, ask, result => result.length > 0, 20_000)
    expect(length).toBeGreaterThan(0)
  })
})
