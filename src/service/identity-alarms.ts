import type { Identities } from '../directory/identities.ts'
import type { Alarm } from '../signing-keys/alarms.ts'
import { by, type Metrics } from '../system/metrics.ts'
import type { Parts } from './parts.ts'

const MOST_NAMED = 5

/** What makes assertions be refused although both sides look right: it needs a person. `now` in epoch milliseconds. */
export function identityAlarms(
  { directory, authentication }: Pick<Parts, 'directory' | 'authentication'>,
  now: number,
): Alarm[] {
  const { identities } = directory
  return [...stoppedAlarms(identities), ...fetchAlarms(identities), ...conflictAlarms(authentication, now)]
}

function stoppedAlarms({ stopped }: Identities): Alarm[] {
  if (stopped.size === 0) return []
  const message = 'identity providers share a key: none of their assertions is accepted'
  const providers = [...stopped].slice(0, MOST_NAMED).join(' ')
  return [{ id: 'identity-providers-share-a-key', message, fields: { providers, count: stopped.size } }]
}

/** A fetch that fails once or twice is usual. */
const MOST_FAILURES = 3

function fetchAlarms({ fetched }: Identities): Alarm[] {
  return fetched.health
    .filter(({ failures }) => failures >= MOST_FAILURES)
    .map(({ providerId, failures, fault = '' }) => ({
      id: `identity-provider-keys-${providerId}`,
      message:
        'the keys of an identity provider cannot be fetched: the last ones are used until they are too old',
      fields: { provider: providerId, failures, fault },
    }))
}

function conflictAlarms({ workloads }: Parts['authentication'], now: number): Alarm[] {
  const message = 'credentials of two tenants match the same assertion: it is refused'
  return workloads.conflicts.recent(now).map(({ credentialIds }) => ({
    id: `credentials-of-two-tenants-${credentialIds.slice(0, 2).join('-')}`,
    message,
    fields: { credentials: credentialIds.slice(0, MOST_NAMED).join(' '), count: credentialIds.length },
  }))
}

/** Registers the metrics of workload identity. */
export function registerIdentities(
  metrics: Metrics,
  {
    directory: { identities },
    authentication: { workloads },
    storage,
  }: Pick<Parts, 'directory' | 'authentication' | 'storage'>,
): void {
  metrics.gauge(
    'mintmark_identity_conflicts',
    'Identity providers that are stopped because they share a key (shared_key), and assertions of the last 10 minutes that credentials of two tenants matched (two_tenants).',
    'max',
    () =>
      by('kind', {
        shared_key: identities.stopped.size,
        two_tenants: workloads.conflicts.recent(storage.time.now()).length,
      }),
    ['kind'],
  )
  metrics.gauge(
    'mintmark_identity_provider_keys_age_seconds',
    'Longest time since the keys of an identity provider were last fetched; 0 if none are fetched.',
    'max',
    () => Math.max(0, ...identities.fetched.health.map(({ ageSeconds }) => ageSeconds)),
  )
  metrics.gauge(
    'mintmark_identity_provider_fetch_failures',
    'Failed fetches of the keys of an identity provider since its last success: the highest number of any provider.',
    'max',
    () => Math.max(0, ...identities.fetched.health.map(({ failures }) => failures)),
  )
  metrics.counter(
    'mintmark_identity_provider_fetches_total',
    'Fetches of the keys of identity providers, by result: ok, or the kind of failure.',
    () => by('result', identities.fetched.results),
    ['result'],
  )
}
