import { CliError } from '../exit-codes.ts'
import { httpCall } from '../http-call.ts'
import { type Finding, fault, note, ok, warning } from './finding.ts'

const LARGEST_OFFSET_SECONDS = 5
/** A snapshot is written about each minute, keys of identity providers are fetched every five. */
const OLDEST_SNAPSHOT_SECONDS = 600
const OLDEST_PROVIDER_KEYS_SECONDS = 3_600

/** What the ops listener of a replica says of itself: `/readyz` and `/metrics`. */
export async function opsFindings(url: string, send: typeof fetch): Promise<Finding[]> {
  const base = url.replace(/\/+$/, '')
  try {
    const ready = await httpCall(`${base}/readyz`, {}, '--ops', send)
    const findings = [readyFinding(base, ready.status, (ready.body ?? {}) as Record<string, string>)]
    const { status, text } = await httpCall(`${base}/metrics`, {}, '--ops', send)
    if (status !== 200) return [...findings, note('metrics', `${base}/metrics answers ${status}`)]
    return [...findings, ...metricFindings(valuesIn(text))]
  } catch (error) {
    if (!(error instanceof CliError)) throw error
    return [
      fault('replica', error.message, 'Give the address of the ops listener (8084) of a replica with --ops.'),
    ]
  }
}

function readyFinding(
  url: string,
  status: number,
  { reason, warning: why, version }: Record<string, string>,
): Finding {
  if (version === undefined)
    return fault(
      'replica',
      `${url} is not an ops listener of Mintmark`,
      'Give the address of port 8084 with --ops.',
    )
  if (status !== 200) return fault('replica', `${url} is not ready: ${reason}`, 'The reason names the cure.')
  if (why !== undefined)
    return warning(
      'replica',
      `${url} is ready, version ${version}, but: ${why}`,
      'The warning names the cure.',
    )
  return ok('replica', `${url} is ready, version ${version}`)
}

/** Values by metric: the largest where one has labels. */
type Values = ReadonlyMap<string, number>

/** The text format of Prometheus, as far as Mintmark writes it. */
function valuesIn(text: string): Values {
  const values = new Map<string, number>()
  for (const line of text.split('\n')) {
    const [, name = '', value = ''] = /^(mintmark_\w+)(?:\{.*\})? (\S+)$/.exec(line) ?? []
    const number = Number(value)
    if (name !== '' && !Number.isNaN(number)) values.set(name, Math.max(number, values.get(name) ?? number))
  }
  return values
}

/** A value that is not good, and the cure. */
interface Limit {
  check: string
  metric: string
  /** Whether the value is bad; others are the other metrics. */
  isBad: (value: number, others: Values) => boolean
  level: 'warning' | 'fault'
  bad: (value: number) => string
  good: string
  cure: string
}

const whole = (value: number) => String(Math.round(value))

const LIMITS: readonly Limit[] = [
  {
    check: 'service clock',
    metric: 'mintmark_clock_offset_seconds',
    isBad: value => Math.abs(value) > LARGEST_OFFSET_SECONDS,
    level: 'fault',
    bad: value =>
      `the host of the replica differs by ${whole(value)} s from the database, whose time is in tokens`,
    good: 'the replica and the database are in sync',
    cure: 'Check the time synchronisation of both.',
  },
  {
    check: 'changes',
    metric: 'mintmark_directory_staleness_seconds',
    isBad: (value, others) => value > (others.get('mintmark_directory_staleness_limit_seconds') ?? 900) / 2,
    level: 'fault',
    bad: value => `the replica has not seen changes for ${whole(value)} s, and soon stops exchanging`,
    good: 'the replica follows the changes in the database',
    cure: 'Make Postgres reachable for it: docs/guides/postgres-outage.md.',
  },
  {
    check: 'directory',
    metric: 'mintmark_directory_overflowed',
    isBad: value => value > 0,
    level: 'warning',
    bad: () => 'there are more API keys than the replica holds in memory: some need a query at each exchange',
    good: 'all API keys are in memory',
    cure: 'Raise MINTMARK_DIRECTORY_MAX_KEYS.',
  },
  {
    check: 'snapshot',
    metric: 'mintmark_snapshot_age_seconds',
    isBad: value => value > OLDEST_SNAPSHOT_SECONDS,
    level: 'fault',
    bad: value => `the snapshot is ${whole(value)} s old: a start without Postgres would begin with it`,
    good: 'the snapshot is recent, or none is configured',
    cure: 'Look for "snapshot" in the log: the folder must be writable and have room.',
  },
  {
    check: 'restore',
    metric: 'mintmark_restore_unreconciled',
    isBad: value => value > 0,
    level: 'fault',
    bad: () => 'the database was restored, and what ended after the backup is not ended again',
    good: 'no restore of the database is pending',
    cure: 'Run: mintmark restore status (docs/guides/restore.md).',
  },
  {
    check: 'sealed rows',
    metric: 'mintmark_untrusted_rows',
    isBad: value => value > 0,
    level: 'fault',
    bad: value => `${whole(value)} rows that grant trust have no valid seal, and are not used`,
    good: 'every row that grants trust has a valid seal',
    cure: 'docs/guides/troubleshooting.md, "Rows without a valid seal".',
  },
  {
    check: 'providers',
    metric: 'mintmark_identity_provider_fetch_failures',
    isBad: value => value > 2,
    level: 'fault',
    bad: value => `the last ${whole(value)} fetches of the keys of an identity provider failed`,
    good: 'fetches of the keys of identity providers succeed',
    cure: 'With an admin token doctor names the provider and the error.',
  },
  {
    check: 'provider keys',
    metric: 'mintmark_identity_provider_keys_age_seconds',
    isBad: value => value > OLDEST_PROVIDER_KEYS_SECONDS,
    level: 'warning',
    bad: value => `the keys of an identity provider were fetched ${whole(value)} s ago`,
    good: 'the keys of identity providers are recent',
    cure: 'Check that the replica reaches its issuer.',
  },
  {
    check: 'provider conflicts',
    metric: 'mintmark_identity_conflicts',
    isBad: value => value > 0,
    level: 'fault',
    bad: () => 'identity providers share a key, or credentials of two tenants match one assertion',
    good: 'no identity providers or credentials conflict',
    cure: 'docs/guides/workload-identity.md; the log names them.',
  },
  {
    check: 'API keys in use',
    metric: 'mintmark_used_keys_expiring',
    isBad: value => value > 0,
    level: 'warning',
    bad: value => `${whole(value)} API keys that are in use expire within 7 days`,
    good: 'no API key in use expires within 7 days',
    cure: 'List them: mintmark key list --expires-before <time>.',
  },
  {
    check: 'log',
    metric: 'mintmark_log_lines_dropped_total',
    isBad: value => value > 0,
    level: 'warning',
    bad: value => `${whole(value)} log lines were lost because nothing read them in time`,
    good: 'no log line was lost',
    cure: 'Check what reads standard output of the replica.',
  },
]

function metricFindings(values: Values): Finding[] {
  return LIMITS.flatMap(({ check, metric, isBad, level, bad, good, cure }) => {
    const value = values.get(metric)
    if (value === undefined) return []
    if (!isBad(value, values)) return [ok(check, good)]
    return [(level === 'fault' ? fault : warning)(check, bad(value), cure)]
  })
}
