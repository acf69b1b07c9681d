import { signingKeyStatuses } from '../../signing-keys/signing-key-status.ts'
import { by, type Metrics } from '../../system/metrics.ts'
import type { Parts } from '../parts.ts'

/** Registers the metrics of signing keys, and of rows that would grant trust and have no valid seal. */
export function registerSigningKeys(
  metrics: Metrics,
  { storage, signing, policy, trust }: Pick<Parts, 'storage' | 'signing' | 'policy' | 'trust'>,
): void {
  const { untrusted } = trust
  const { time } = storage
  const statuses = () => signingKeyStatuses(signing.ring(), time.now())
  metrics.gauge(
    'mintmark_signing_keys',
    'Published signing keys, by algorithm and state.',
    'max',
    () =>
      statuses().flatMap(({ alg, published }) =>
        Object.entries(published).map(([state, value]) => ({ labels: { alg, state }, value })),
      ),
    ['alg', 'state'],
  )
  metrics.gauge(
    'mintmark_signing_key_age_seconds',
    'Time since the active signing key started to sign, by algorithm.',
    'max',
    () => statuses().map(({ alg, signerAgeSeconds }) => ({ labels: { alg }, value: signerAgeSeconds })),
    ['alg'],
  )
  metrics.gauge(
    'mintmark_signing_key_next_activation_seconds',
    'Time until the standby key becomes active, by algorithm; negative if overdue. Absent while not scheduled.',
    'min',
    () =>
      statuses().map(({ alg, nextActivationSeconds }) => ({ labels: { alg }, value: nextActivationSeconds })),
    ['alg'],
  )
  metrics.gauge(
    'mintmark_signing_key_rotation_interval_seconds',
    'Rotation interval of the policy.',
    'max',
    () => policy.policy.rotationIntervalSeconds,
  )
  metrics.gauge(
    'mintmark_untrusted_rows',
    'Rows in the database that grant trust and whose seal is missing or wrong, by kind. They are not used.',
    'max',
    () => by('kind', untrusted.checked),
    ['kind'],
  )
  metrics.counter(
    'mintmark_untrusted_rows_found_total',
    'Rows that would grant trust and were rejected because their seal was missing or wrong, by kind.',
    () => by('kind', untrusted.found),
    ['kind'],
  )
}
