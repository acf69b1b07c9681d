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
  return [...stoppedAlarms(directory.identities), ...conflictAlarms(authentication, now)]
}

function stoppedAlarms({ stopped }: Identities): Alarm[] {
  if (stopped.size === 0) return []
  const message = 'identity providers share a key: none of their assertions is accepted'
  const providers = [...stopped].slice(0, MOST_NAMED).join(' ')
  return [{ id: 'identity-providers-share-a-key', message, fields: { providers, count: stopped.size } }]
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
}
