import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { lacksPrometheus, promtool } from './prometheus.ts'

const RULES = fileURLToPath(new URL('../../deploy/observability/mintmark-istio-alerts.yaml', import.meta.url))
const text = readFileSync(RULES, 'utf8')
const FETCH = 'pilot_jwks_resolver_network_fetch_fail_total'
const LEADING = ['mintmark_sync_leading{pod="a"}', 'mintmark_sync_leading{pod="b"}'] as const
const AGE = 'mintmark_sync_jwks_age_seconds{pod="a"}'
const CONFLICTS = 'mintmark_sync_failures_total{reason="conflict"}'

/** One value a minute for half an hour. */
const WELL: Record<string, string> = {
  [FETCH]: '4+0x30',
  [LEADING[0]]: '1+0x30',
  [LEADING[1]]: '0+0x30',
  [AGE]: '30+0x30',
  [CONFLICTS]: '2+0x30',
}

const CASES: Record<string, { fires: Record<string, string>; quiet: Record<string, string> }> = {
  MintmarkIstiodCannotFetchJwks: {
    fires: { [FETCH]: '4+0x25 5+0x5' },
    // Long ago.
    quiet: { [FETCH]: '4+0x5 5+0x25' },
  },
  MintmarkSyncWithoutLeader: {
    fires: { [LEADING[0]]: '1+0x20 0+0x10' },
    // The other one takes over.
    quiet: { [LEADING[0]]: '1+0x20 0+0x10', [LEADING[1]]: '0+0x22 1+0x8' },
  },
  MintmarkSyncJwksOld: {
    fires: { [AGE]: '0+90x30' },
    quiet: { [AGE]: '0+59x30' },
  },
  MintmarkSyncConflict: {
    fires: { [CONFLICTS]: '2+0x25 3+0x5' },
    quiet: { 'mintmark_sync_failures_total{reason="mintmark_unavailable"}': '0+1x30' },
  },
}

function firing(series: Record<string, string>, expected: string[]): string {
  const test = {
    rule_files: [RULES],
    evaluation_interval: '1m',
    tests: [
      {
        interval: '1m',
        input_series: Object.entries({ ...WELL, ...series }).map(([name, values]) => ({
          series: name,
          values,
        })),
        promql_expr_test: Object.keys(CASES).map(name => ({
          expr: `count(ALERTS{alertname="${name}",alertstate="firing"}) or vector(0)`,
          eval_time: '30m',
          exp_samples: [{ labels: '{}', value: expected.includes(name) ? 1 : 0 }],
        })),
      },
    ],
  }
  const folder = mkdtempSync(join(tmpdir(), 'mintmark-rules-'))
  try {
    // JSON is YAML.
    writeFileSync(join(folder, 'test.yaml'), JSON.stringify(test))
    const { ok, output } = promtool(['test', 'rules', join(folder, 'test.yaml')])
    return ok ? 'as expected' : output
  } finally {
    rmSync(folder, { recursive: true })
  }
}

it('the alerts use metrics that mintmark sync has', () => {
  const source = readFileSync(new URL('../../src/cli/sync/ops-port.ts', import.meta.url), 'utf8')
  const used = new Set([...text.matchAll(/\bmintmark_sync_\w+/g)].map(([name]) => name))
  expect(used.size).toBeGreaterThan(2)
  for (const name of used) expect(source).toContain(`'${name}'`)
})

it('each alert has a case', () => {
  const names = [...text.matchAll(/- alert: (\w+)/g)].map(([, name]) => name)
  expect(names).toEqual(Object.keys(CASES))
})

describe.skipIf(lacksPrometheus())('an alert of Istio', () => {
  it('does not fire while all is well', () => {
    expect(firing({}, [])).toBe('as expected')
  })

  it.each(Object.keys(CASES))('%s fires, and only it, and not just before', name => {
    expect(firing(CASES[name]?.fires ?? {}, [name])).toBe('as expected')
    expect(firing(CASES[name]?.quiet ?? {}, [])).toBe('as expected')
  })
})
