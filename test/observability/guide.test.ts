import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newExchangeOutcomes } from '../../src/oauth/exchange-outcomes.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { alertNames, alertsText } from './alert-rules.ts'
import { type MetricsPage, scrape } from './metrics-text.ts'
import { lacksPrometheus, promtool } from './prometheus.ts'

const guide = readFileSync(new URL('../../docs/guides/observability.md', import.meta.url), 'utf8')
const section = (name: string) =>
  new RegExp(`<!-- ${name}:.*-->\n([\\s\\S]*?)<!-- /${name} -->`).exec(guide)?.[1]?.trim()

let mintmark: TestService
let page: MetricsPage
beforeAll(async () => {
  mintmark = await startTestService()
  const { secret } = await mintmark.tenantWithKey()
  await mintmark.token({ grant_type: 'client_credentials', client_secret: secret })
  // It schedules the activation of the next key.
  await mintmark.admin('POST', '/signing-keys/rotate')
  page = await scrape(mintmark.service.urls.ops)
})
afterAll(() => mintmark.stop())

function metricsTable({ families }: MetricsPage): string {
  const own = [...families].filter(([name]) => name.startsWith('mintmark_'))
  const rows = own.map(([name, { type, labels, help }]) => {
    const named = [...labels].sort().map(label => `\`${label}\``)
    return `| \`${name}\` | ${type} | ${named.join(', ')} | ${help} |`
  })
  return ['| metric | type | labels | |', '|---|---|---|---|', ...rows.sort()].join('\n')
}

function alertsTable(): string {
  const rows = alertsText
    .split('- alert: ')
    .slice(1)
    .map((rule, index) => {
      const [, severity] = /severity: (\w+)/.exec(rule) ?? []
      const [, description] = /description: (.*)/.exec(rule) ?? []
      return `| \`${alertNames[index]}\` | ${severity} | ${description} |`
    })
  return ['| alert | severity | |', '|---|---|---|', ...rows].join('\n')
}

describe('docs/guides/observability.md', () => {
  it('has the metrics of /metrics', () => {
    expect(section('metrics')).toBe(metricsTable(page))
  })

  it('names no metric of the process that /metrics lacks', () => {
    const named = [...guide.matchAll(/`((?:process|nodejs)_\w+[a-z])`/g)].map(([, name = '']) => name)
    expect(named.length).toBeGreaterThan(5)
    const there = (name: string) => name === 'process_open_fds' || page.families.has(name)
    expect(named.filter(name => !there(name))).toEqual([])
  })

  it('has the alerts of the rules file', () => {
    expect(section('alerts')).toBe(alertsTable())
  })

  it.each(Object.keys(newExchangeOutcomes()))('explains the outcome %s', outcome => {
    expect(guide).toMatch(new RegExp(`^\\| .*\`${outcome}\``, 'm'))
  })
})

describe('the page of metrics', () => {
  it('has a value for every metric', () => {
    const silent = [...page.families.keys()].filter(
      name =>
        name.startsWith('mintmark_') && ![...page.series.keys()].some(series => series.startsWith(name)),
    )
    expect(silent).toEqual([])
  })

  it.skipIf(lacksPrometheus())('passes promtool’s checks: our names, units, help', () => {
    const { output } = promtool(['check', 'metrics'], page.text)
    expect(output.split('\n').filter(line => line !== '' && !line.startsWith('nodejs_'))).toEqual([])
  })

  it.skipIf(lacksPrometheus())('would not, with a wrong name', () => {
    const { ok, output } = promtool(['check', 'metrics'], page.text.replaceAll('_seconds', '_milliseconds'))
    expect([ok, output]).toEqual([false, expect.stringContaining('milliseconds')])
  })
})
