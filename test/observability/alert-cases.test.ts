import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ALERTS_FILE, alertNames, alertsText } from './alert-rules.ts'
import { lacksPrometheus, promtool } from './prometheus.ts'

/** A series and its values, one a minute for two hours, in promtool's notation. */
type Series = Record<string, string>

const always = (value: number) => `${value}+0x130`
const growing = (perMinute: number) => `0+${perMinute}x130`
const bucket = (le: string) =>
  `mintmark_http_request_duration_seconds_bucket{listener="public",route="/oauth/token",status="2xx",le="${le}"}`
const outcome = (name: string) => `mintmark_exchanges_total{outcome="${name}"}`
const keys = (state: string) => `mintmark_signing_keys{alg="ES256",state="${state}"}`
const AGE = 'mintmark_signing_key_age_seconds{alg="ES256"}'
const NEXT = 'mintmark_signing_key_next_activation_seconds{alg="ES256"}'

/** A healthy replica with load: nothing fires. */
const HEALTHY: Series = {
  up: always(1),
  mintmark_ready: always(1),
  mintmark_draining: always(0),
  mintmark_directory_staleness_seconds: always(0.5),
  mintmark_directory_staleness_limit_seconds: always(900),
  mintmark_directory_overflowed: always(0),
  mintmark_snapshot_serving: always(0),
  mintmark_snapshot_age_seconds: always(60),
  mintmark_staleness_extended_seconds: always(0),
  mintmark_restore_unreconciled: always(0),
  'mintmark_fallback_lookups_total{outcome="failed"}': always(0),
  mintmark_deferred_writes_dropped_total: always(0),
  mintmark_log_lines_dropped_total: always(0),
  'mintmark_usage_records_total{result="counted"}': growing(1000),
  'mintmark_usage_records_total{result="repeated"}': growing(10),
  'mintmark_usage_records_total{result="rejected_too_old"}': always(0),
  mintmark_used_keys_expiring: always(0),
  [outcome('ok')]: growing(6000),
  [outcome('unknown')]: growing(60),
  [outcome('temporarily_unavailable')]: always(0),
  [bucket('0.1')]: growing(6000),
  [bucket('0.25')]: growing(6000),
  [bucket('0.5')]: growing(6000),
  [bucket('+Inf')]: growing(6000),
  nodejs_eventloop_lag_p99_seconds: always(0.02),
  nodejs_eventloop_lag_max_seconds: always(0.2),
  'mintmark_database_waiting_queries{pool="main"}': always(0),
  'mintmark_untrusted_rows{kind="signing_key"}': always(0),
  'mintmark_untrusted_rows{kind="imported_secret"}': always(0),
  'mintmark_untrusted_rows_found_total{kind="signing_key"}': always(0),
  mintmark_identity_provider_keys_age_seconds: always(300),
  'mintmark_identity_conflicts{kind="shared_key"}': always(0),
  'mintmark_identity_conflicts{kind="two_tenants"}': always(0),
  'mintmark_xds_gateways{gateway="inference"}': always(2),
  'mintmark_xds_gateways{gateway="other"}': always(0),
  mintmark_xds_gateways_behind_seconds: always(0),
  [AGE]: always(1_000_000),
  mintmark_signing_key_rotation_interval_seconds: always(2_592_000),
  [NEXT]: always(7200),
  [keys('active')]: always(1),
  [keys('standby')]: always(1),
  mintmark_clock_offset_seconds: always(0.1),
  mintmark_feed_listening: always(1),
}

/** For each alert, the differences from a healthy replica when it fires, and when it only just does not. */
const CASES: Record<string, { fires: Series; quiet: Series }> = {
  MintmarkTargetDown: {
    fires: { up: always(0) },
    quiet: { up: '1+0x118 0 1+0x10' },
  },
  MintmarkNoTargets: {
    fires: { up: '_x130' },
    quiet: { up: '1+0x117 _ _ _' },
  },
  MintmarkNotReady: {
    fires: { mintmark_ready: always(0) },
    quiet: { mintmark_ready: always(0), mintmark_draining: always(1) },
  },
  MintmarkDirectoryStale: {
    fires: { mintmark_directory_staleness_seconds: always(31) },
    quiet: { mintmark_directory_staleness_seconds: always(29) },
  },
  MintmarkDirectoryStaleNearLimit: {
    fires: { mintmark_directory_staleness_seconds: always(451) },
    // Every exchange queries Postgres anyway.
    quiet: {
      mintmark_directory_staleness_limit_seconds: always(0),
      mintmark_directory_staleness_seconds: always(1),
    },
  },
  MintmarkServingFromSnapshot: {
    fires: { mintmark_snapshot_serving: always(1) },
    quiet: { mintmark_snapshot_serving: always(0) },
  },
  MintmarkSnapshotOld: {
    fires: { mintmark_snapshot_age_seconds: always(601) },
    quiet: { mintmark_snapshot_age_seconds: always(599) },
  },
  MintmarkRestoreUnreconciled: {
    fires: { mintmark_restore_unreconciled: always(1) },
    // It has been reconciled.
    quiet: { mintmark_restore_unreconciled: '1+0x110 0+0x20' },
  },
  MintmarkStalenessExtended: {
    fires: { mintmark_staleness_extended_seconds: always(1) },
    quiet: { mintmark_staleness_extended_seconds: always(0) },
  },
  MintmarkDirectoryOverflow: {
    fires: { mintmark_directory_overflowed: always(1) },
    quiet: { mintmark_directory_overflowed: '0+0x116 1 1 1 1 1' },
  },
  MintmarkFallbackLookupsFailing: {
    fires: { 'mintmark_fallback_lookups_total{outcome="failed"}': growing(7) },
    quiet: { 'mintmark_fallback_lookups_total{outcome="failed"}': growing(5) },
  },
  MintmarkDeferredWritesDropped: {
    fires: { mintmark_deferred_writes_dropped_total: '0+0x115 3+0x15' },
    // Long ago.
    quiet: { mintmark_deferred_writes_dropped_total: '0+0x60 3+0x70' },
  },
  MintmarkLogLinesDropped: {
    fires: { mintmark_log_lines_dropped_total: '0+0x115 40+0x15' },
    // Long ago.
    quiet: { mintmark_log_lines_dropped_total: '0+0x60 40+0x70' },
  },
  MintmarkUsageRecordsRejected: {
    fires: { 'mintmark_usage_records_total{result="rejected_too_old"}': '0+0x115 40+0x15' },
    // Long ago.
    quiet: { 'mintmark_usage_records_total{result="rejected_too_old"}': '0+0x60 40+0x70' },
  },
  MintmarkUsedKeysExpire: {
    fires: { mintmark_used_keys_expiring: always(2) },
    // It has been resolved.
    quiet: { mintmark_used_keys_expiring: '2+0x110 0+0x20' },
  },
  MintmarkExchangesFailing: {
    fires: { [outcome('temporarily_unavailable')]: growing(70) },
    quiet: { [outcome('temporarily_unavailable')]: growing(50) },
  },
  MintmarkExchangesRefusedSurge: {
    fires: { [outcome('unknown')]: '0+60x105 6300+720x25' },
    quiet: { [outcome('unknown')]: '0+60x105 6300+280x25' },
  },
  MintmarkExchangesSlow: {
    fires: {
      [bucket('0.1')]: growing(5800),
      [bucket('0.25')]: growing(5900),
      [bucket('0.5')]: growing(6000),
    },
    quiet: { [bucket('0.1')]: growing(5800), [bucket('0.25')]: growing(5950) },
  },
  MintmarkEventLoopDelayed: {
    fires: { nodejs_eventloop_lag_p99_seconds: always(0.12) },
    quiet: { nodejs_eventloop_lag_p99_seconds: always(0.1) },
  },
  MintmarkGatewayNotConnected: {
    fires: { 'mintmark_xds_gateways{gateway="inference"}': '2+0x115 0+0x15' },
    quiet: { 'mintmark_xds_gateways{gateway="inference"}': '2+0x118 0 0' },
  },
  MintmarkGatewayBehind: {
    fires: { mintmark_xds_gateways_behind_seconds: always(11) },
    quiet: { mintmark_xds_gateways_behind_seconds: always(9) },
  },
  MintmarkDatabasePoolWaiting: {
    fires: { 'mintmark_database_waiting_queries{pool="main"}': always(1) },
    quiet: { 'mintmark_database_waiting_queries{pool="main"}': '0+0x119 1' },
  },
  MintmarkUntrustedRows: {
    // Found, and repaired before the next scrape.
    fires: { 'mintmark_untrusted_rows_found_total{kind="signing_key"}': '0+0x115 1+0x15' },
    quiet: { 'mintmark_untrusted_rows_found_total{kind="signing_key"}': '0+0x20 1+0x110' },
  },
  MintmarkIdentityConflict: {
    fires: { 'mintmark_identity_conflicts{kind="two_tenants"}': always(1) },
    quiet: { 'mintmark_identity_conflicts{kind="two_tenants"}': '1+0x100 0+0x20' },
  },
  MintmarkIdentityProviderKeysOld: {
    fires: { mintmark_identity_provider_keys_age_seconds: always(3_601) },
    quiet: { mintmark_identity_provider_keys_age_seconds: always(3_599) },
  },
  MintmarkSigningKeyOld: {
    fires: { [AGE]: always(2_900_000) },
    quiet: { [AGE]: always(2_800_000) },
  },
  MintmarkSigningKeyRotationOverdue: {
    fires: { [NEXT]: always(-301) },
    quiet: { [NEXT]: always(-299) },
  },
  MintmarkNoStandbySigningKey: {
    fires: { [keys('standby')]: always(0) },
    // An algorithm that is no longer used.
    quiet: { [keys('standby')]: always(0), [keys('active')]: always(0) },
  },
  MintmarkClockOffset: {
    fires: { mintmark_clock_offset_seconds: always(-5.1) },
    quiet: { mintmark_clock_offset_seconds: always(4.9) },
  },
  MintmarkFeedPolling: {
    fires: { mintmark_feed_listening: always(0) },
    quiet: { mintmark_feed_listening: '0+0x110 1+0x20' },
  },
}

/** Other alerts that rightly fire at the same time. */
const TOGETHER: Record<string, string[]> = {
  MintmarkDirectoryStaleNearLimit: ['MintmarkDirectoryStale'],
}

/** A case for promtool: these series, and after two hours exactly these alerts. */
function ruleTest(series: Series, firing: readonly string[]): object {
  const target = (name: string) => {
    const labels = 'job="mintmark",instance="a:8084"'
    return name.includes('{') ? name.replace('{', `{${labels},`) : `${name}{${labels}}`
  }
  const input = Object.entries({ ...HEALTHY, ...series })
  return {
    interval: '1m',
    input_series: input.map(([name, values]) => ({ series: target(name), values })),
    promql_expr_test: [
      {
        expr: 'count by (alertname) (ALERTS{alertstate="firing"})',
        eval_time: '2h',
        exp_samples: firing.map(alertname => ({ labels: `{alertname="${alertname}"}`, value: 1 })),
      },
    ],
  }
}

function check(series: Series, firing: readonly string[]): void {
  const folder = mkdtempSync(join(tmpdir(), 'mintmark-rules-'))
  try {
    const file = join(folder, 'cases.yaml')
    const cases = { rule_files: [ALERTS_FILE], evaluation_interval: '1m', tests: [ruleTest(series, firing)] }
    writeFileSync(file, JSON.stringify(cases))
    const { ok, output } = promtool(['test', 'rules', file])
    expect(ok, output).toBe(true)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

it('each alert has a case, a severity, its meaning and what to do', () => {
  expect(Object.keys(CASES).sort()).toEqual([...alertNames].sort())
  for (const rule of alertsText.split('- alert: ').slice(1)) {
    expect(rule).toMatch(/labels: \{ severity: (critical|warning|info) \}/)
    for (const annotation of ['summary', 'description', 'action'])
      expect(rule).toMatch(new RegExp(`^ {10}${annotation}: \\S.{15}`, 'm'))
  }
})

describe.skipIf(lacksPrometheus())('promtool', () => {
  it('finds no error in the rules', () => {
    const { ok, output } = promtool(['check', 'rules', ALERTS_FILE])
    expect(ok, output).toBe(true)
    expect(output).toContain(`SUCCESS: ${alertNames.length} rules found`)
  })

  it('fires nothing for a healthy replica', () => check({}, []))

  it('would notice an alert that is expected and does not fire', () => {
    expect(() => check({}, ['MintmarkNotReady'])).toThrow(/FAILED/)
  })

  it.each(alertNames)('fires %s when it should, and nothing else', name => {
    check(CASES[name]?.fires ?? {}, [...(TOGETHER[name] ?? []), name].sort())
  })

  it.each(alertNames)('does not fire %s, or anything else, before its time', name => {
    check(CASES[name]?.quiet ?? {}, [])
  })
})
