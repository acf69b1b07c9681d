import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Checks } from '../engine/checks.ts'
import { lacksPrometheus, startPrometheus } from '../observability/prometheus.ts'
import { until } from '../support/until.ts'
import { startRateLimitService } from './programs.ts'
import { ask, type Limits, type Setting } from './setting.ts'

const WAIT_MS = 30_000
const DASHBOARD = new URL('../../deploy/observability/mintmark-limits-dashboard.json', import.meta.url)
/** Every limit is set, and that of requests is reached. */
const LIMITS: Limits = {
  ...{ requests_per_minute: 4, requests_per_day: 20 },
  ...{ tokens_per_minute: 1_000, tokens_per_day: 1_000 },
}
/** Has no series before its first error, which a working service has not. */
const ERRORS = 'ratelimit_service_should_rate_limit_error'

/** Each query of the dashboard, in a real Prometheus that scrapes the rate limit service (as its developers build it). */
export async function checkDashboard(
  checks: Checks,
  { home, redis, anotherEnvoy, tenant }: Setting,
): Promise<void> {
  console.log('\nthe dashboard of limits')
  if (lacksPrometheus()) return console.log('  note    not run: run scripts/install-test-tools.sh')
  const service = await startRateLimitService(home, redis, { metrics: true })
  const envoy = await anotherEnvoy(service.port)
  const prometheus = await startPrometheus({ targets: [service.metricsUrl], rules: 'groups: []' })
  try {
    const [limited, other] = [await tenant(LIMITS), await tenant({ ...LIMITS, requests_per_day: 2 })]
    const sendBoth = async () => {
      await ask(envoy.url, limited.token)
      await ask(envoy.url, other.token)
    }
    for (let i = 0; i < 20; i++) {
      await sendBoth()
      await sleep(100)
    }
    const { panels } = JSON.parse(readFileSync(DASHBOARD, 'utf8')) as {
      panels: { title: string; targets?: { expr: string }[] }[]
    }
    const asked = async (expr: string) => {
      const query = expr.replaceAll('$__rate_interval', '1m')
      return (await prometheus.get('query', { query })).result as Sample[]
    }
    for (const { title, targets = [] } of panels)
      for (const { expr } of targets.filter(each => !each.expr.includes(ERRORS)))
        await checks.equal(`"${title}" has data`, true, () =>
          until(
            expr,
            // A share of no requests is no number, and Prometheus scrapes first some seconds after its start.
            async () => {
              await sendBoth()
              return asked(expr)
            },
            found => found.some(isNumber),
            WAIT_MS,
          ).then(Boolean),
        )
    await checks.equal('a query on errors is one that Prometheus understands', [], () => asked(ERRORS))
    await checks.equal(
      'by the ids of tenants',
      [`tenant_${limited.tenant}`, `tenant_${other.tenant}`],
      async () =>
        (
          await asked(
            `count by (key1) (ratelimit_service_rate_limit_total_hits{key2="tenant_requests_MINUTE"})`,
          )
        )
          .map(({ metric }) => metric.key1)
          .toSorted(),
    )
  } finally {
    await prometheus.stop()
    await envoy.stop()
    await service.stop()
  }
}

interface Sample {
  metric: Record<string, string>
  value: [number, string]
}

const isNumber = ({ value }: Sample) => Number.isFinite(Number(value[1]))
