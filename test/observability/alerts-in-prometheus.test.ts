import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatCredential, randomId } from '../../src/api-keys/api-key.ts'
import { systemClock } from '../../src/system/clock.ts'
import { systemRandom } from '../../src/system/random.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { alertNames, alertsText } from './alert-rules.ts'
import { lacksPrometheus, type Prometheus, startPrometheus } from './prometheus.ts'

/**
 * The rules and the queries of the dashboard in a real Prometheus that scrapes real processes: one healthy, one with as many
 * faults as possible at once, one not ready, and one not running.
 */

const dashboard = JSON.parse(
  readFileSync(new URL('../../deploy/observability/mintmark-dashboard.json', import.meta.url), 'utf8'),
) as {
  panels: { targets?: { expr: string }[]; gridPos: { x: number; y: number; w: number; h: number } }[]
}

interface Rule {
  name: string
  query: string
  health: string
  lastError?: string
}

describe.skipIf(lacksPrometheus())('in a real Prometheus', () => {
  let prometheus: Prometheus
  let database: TestDatabase
  let proxy: TcpProxy & { url: string }
  let well: TestService
  let sick: TestService
  let unready: TestService
  const instance = (service: TestService) => new URL(service.service.urls.ops).host
  const query = async (expr: string) => (await prometheus.get('query', { query: expr })).result as unknown[]
  /** A scrape that takes longer than its 200 ms takes all series away until the next one. */
  const hasResult = (expr: string) =>
    until(
      expr,
      () => query(expr),
      ({ length }) => length > 0,
    ).then(
      () => true,
      () => false,
    )

  beforeAll(async () => {
    const gateway = { MINTMARK_XDS_PORT: '0', MINTMARK_XDS_TOKENS: `edge:${'t'.repeat(32)}` }
    well = await startTestService({ env: { MINTMARK_OTLP_HTTP_PORT: '0', ...gateway } })
    database = await createTestDatabase()
    proxy = await TcpProxy.before(database.applicationUrl)
    const clock = { ...systemClock, wallMs: () => systemClock.wallMs() + 3_600_000 }
    const env = { DATABASE_URL: proxy.url, MINTMARK_DIRECTORY_MAX_KEYS: '1' }
    sick = await startTestService({ database, env, overrides: { clock } })
    for (let count = 0; count < 2; count++) await sick.tenantWithKey()
    const nowhere = { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' }
    unready = await startTestService({ database, env: nowhere, awaitReady: false })
    await proxy.become('refuse')
    const services = [well, sick, unready].map(({ service }) => service.urls.ops)
    // Alerts fire without their delay.
    const rules = alertsText.replace(/^ {8}for: \w+$/gm, '        for: 0s')
    prometheus = await startPrometheus({ targets: [...services, 'http://127.0.0.1:1'], rules })
    // It discovers targets only some seconds after its start.
    const targets = () => query('up')
    await until('all targets were scraped', targets, ({ length }) => length === services.length + 1, 20_000)
    await traffic()
  })
  afterAll(async () => {
    await prometheus?.stop()
    await Promise.all([well, sick, unready].map(service => service?.stop()))
    await proxy?.close()
    await database?.drop()
  })

  /** Long enough for rates, with every kind of exchange. */
  async function traffic(): Promise<void> {
    const { secret } = await well.tenantWithKey()
    await well.admin('POST', '/signing-keys/rotate')
    const exchange = (service: TestService, client_secret: string) =>
      service.token({ grant_type: 'client_credentials', client_secret })
    const unknown = () => formatCredential('mmk', randomId(systemRandom), systemRandom)
    for (let round = 0; round < 15; round++) {
      await exchange(well, secret)
      await fetch(`${well.service.urls.otlpHttp}/v1/logs`, { method: 'POST' })
      await Promise.all(Array.from({ length: 5 }, () => exchange(sick, unknown())))
      await sleep(100)
    }
  }

  async function rules(): Promise<Rule[]> {
    const { groups } = (await prometheus.get('rules')) as { groups: { rules: Rule[] }[] }
    return groups.flatMap(group => group.rules)
  }

  it('every expression is evaluated, without an error', async () => {
    const evaluated = await until('all are evaluated', rules, all =>
      all.every(({ health }) => health !== 'unknown'),
    )
    expect(evaluated.map(({ name }) => name)).toEqual(alertNames)
    expect(evaluated.filter(({ health, lastError }) => health !== 'ok' || lastError)).toEqual([])
    for (const rule of evaluated) await query(rule.query)
  })

  it('every series that an expression selects exists', async () => {
    const selectors = new Set((await rules()).flatMap(rule => selectorsOf(rule.query)))
    expect(selectors.size).toBeGreaterThan(20)
    const missing: string[] = []
    for (const selector of selectors) if (!(await hasResult(selector))) missing.push(selector)
    expect(missing).toEqual([])
  })

  it('the expected alerts fire, for the process that they concern', async () => {
    const firing = async () => {
      const { alerts } = (await prometheus.get('alerts')) as {
        alerts: { state: string; labels: Record<string, string> }[]
      }
      return alerts
        .filter(({ state }) => state === 'firing')
        .map(({ labels }) => `${labels.alertname} ${labels.instance}`)
        .sort()
    }
    const expected = [
      `MintmarkClockOffset ${instance(sick)}`,
      `MintmarkDirectoryOverflow ${instance(sick)}`,
      `MintmarkExchangesFailing ${instance(sick)}`,
      `MintmarkFallbackLookupsFailing ${instance(sick)}`,
      `MintmarkFeedPolling ${instance(sick)}`,
      `MintmarkNotReady ${instance(unready)}`,
      'MintmarkTargetDown 127.0.0.1:1',
    ]
    await until('they fire', firing, now => expected.every(alert => now.includes(alert)))
    const concernsTheWell = (await firing()).filter(alert => alert.endsWith(instance(well)))
    expect(concernsTheWell).toEqual([])
  })

  it('every query of the dashboard has a result, and no two panels cover each other', async () => {
    const queries = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
    expect(queries.length).toBeGreaterThan(25)
    const empty: string[] = []
    for (const expr of queries) {
      const given = expr.replaceAll('$instance', '.*').replaceAll('$__rate_interval', '1m')
      if (!(await hasResult(given))) empty.push(expr)
    }
    expect(empty).toEqual([])
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, at) => `${x + (at % w)},${y + Math.floor(at / w)}`),
    )
    expect(new Set(cells).size).toBe(cells.length)
  })
})

/** The plain selectors in an expression: a metric, with its label matchers, without range and offset. */
function selectorsOf(expr: string): string[] {
  return [...expr.matchAll(/\b(up|(?:mintmark|nodejs)_\w+)\b(\{[^}]*\})?/g)].map(([selector]) => selector)
}
