import type { AdminClient } from '../admin-client.ts'
import { ageFindings } from './age-checks.ts'
import { type Finding, fault, note, ok, warning } from './finding.ts'

interface InUse {
  current: string
  left_on_others: Record<string, number>
}

interface Installation {
  issuer: string
  policy: { rotation_interval_seconds: number }
  peppers: InUse
  encryption_keys: InUse
  replicas: { id: string; host: string; state: string; seen_at: string }[]
}

interface Provider {
  id: string
  created_at: string
  /** null: its keys are not fetched. */
  fetch: {
    last_success_at: string | null
    failures: number
    last_error: { kind: string; message: string } | null
  } | null
}

const DAY_MS = 86_400_000
/** Keys of a provider are fetched every five minutes. */
const MANY_FAILURES = 3
const OLDEST_KEYS_SECONDS = 3_600

/** What the admin API knows of the installation. `now`: epoch milliseconds. */
export async function serviceFindings(admin: AdminClient, now: number): Promise<Finding[]> {
  const installation = await admin.get<Installation>('/installation')
  return [
    ...replicaFindings(installation),
    ...secretFindings('peppers', installation.peppers, 'MINTMARK_PEPPERS'),
    ...secretFindings('encryption keys', installation.encryption_keys, 'MINTMARK_ENCRYPTION_KEYS'),
    ...(await ageFindings(admin)),
    ...(await rotationFindings(admin, installation, now)),
    ...(await revocationFindings(admin)),
    ...(await providerFindings(admin, now)),
    ...(await reporterFindings(admin, now)),
  ]
}

function replicaFindings({ replicas }: Installation): Finding[] {
  const silent = replicas.filter(({ state }) => state === 'silent')
  if (silent.length === 0) return [ok('replicas', `${replicas.length} serve`)]
  return silent.map(({ id, host, seen_at }) =>
    warning(
      'replicas',
      `${id} on ${host} was last seen ${seen_at}: it may exchange keys that were revoked since`,
      'End it if it runs, or make Postgres reachable for it.',
    ),
  )
}

function secretFindings(
  what: string,
  { current, left_on_others: others }: InUse,
  variable: string,
): Finding[] {
  const left = Object.entries(others).filter(([, count]) => count > 0)
  if (left.length === 0) return [ok(what, `everything uses ${current}: no other one is needed`)]
  const named = left.map(([id, count]) => `${count} on ${id}`).join(', ')
  return [note(what, `${named} besides ${current}: keep these in ${variable}`)]
}

/** A key that signs for longer than the interval is held, or rotation does not run. */
async function rotationFindings(
  admin: AdminClient,
  { policy: { rotation_interval_seconds: interval } }: Installation,
  now: number,
): Promise<Finding[]> {
  const { data } = await admin.get<{
    data: { kid: string; alg: string; state: string; activates_at: string | null }[]
  }>('/signing-keys')
  return data
    .filter(({ state, activates_at }) => state === 'active' && activates_at !== null)
    .map(({ kid, alg, activates_at }) => {
      const age = Math.round((now - Date.parse(activates_at ?? '')) / 1000)
      return age > 2 * interval
        ? warning(
            'rotation',
            `${alg} ${kid} has signed for ${age} s; the interval is ${interval} s`,
            'Release it if it is held: mintmark signing-key release <kid>. Otherwise look in the log.',
          )
        : ok('rotation', `${alg} ${kid} has signed for ${age} s of ${interval} s`)
    })
}

async function revocationFindings(admin: AdminClient): Promise<Finding[]> {
  const entries = await admin.list('/token-revocations', MOST_REVOCATIONS)
  return [
    entries.length >= MOST_REVOCATIONS
      ? warning(
          'revocations',
          `the list of revoked tokens has ${MOST_REVOCATIONS} entries or more`,
          'End tokens of whole keys or tenants instead of one by one.',
        )
      : ok('revocations', `the list of revoked tokens has ${entries.length} entries`),
  ]
}

const MOST_REVOCATIONS = 1_000

/** As the replica that answers sees them. */
async function providerFindings(admin: AdminClient, now: number): Promise<Finding[]> {
  const providers = await admin.list<Provider>('/identity-providers')
  return providers.flatMap(({ id, created_at, fetch }) => {
    if (fetch === null) return []
    const { last_success_at: success, failures, last_error: error } = fetch
    const age = Math.max(0, Math.round((now - Date.parse(success ?? created_at)) / 1000))
    const last = success === null ? 'keys never fetched' : `keys of ${age} s ago`
    const state = `${id}: ${last}, ${failures} failures since${failures > 0 && error ? `, the last: ${error.message}` : ''}`
    const cure =
      'Check the issuer, `ca_pem`, `allow_addresses` and the network of the replica (docs/guides/workload-identity.md).'
    if (failures >= MANY_FAILURES || age > OLDEST_KEYS_SECONDS)
      return [fault('identity provider', state, cure)]
    return [failures > 0 ? warning('identity provider', state, cure) : ok('identity provider', state)]
  })
}

/** Reporters without a record in the last day. */
async function reporterFindings(admin: AdminClient, now: number): Promise<Finding[]> {
  const reporters = (
    await admin.list<{ id: string; name: string; state: string; created_at: string }>('/usage-reporters')
  ).filter(({ state, created_at }) => state === 'active' && now - Date.parse(created_at) > DAY_MS)
  if (reporters.length === 0) return []
  const lastDay = { from: new Date(now - DAY_MS).toISOString(), to: new Date(now).toISOString() }
  const totals = await admin.list<{ reporter: string | null }>('/usage', Number.POSITIVE_INFINITY, {
    ...lastDay,
    group_by: 'reporter',
  })
  const heard = new Set(totals.map(({ reporter }) => reporter))
  return reporters.map(({ id, name }) =>
    heard.has(id)
      ? ok('usage reporter', `${id} "${name}" reported in the last day`)
      : warning(
          'usage reporter',
          `${id} "${name}" reported nothing in the last day`,
          'Check its gateway and collector (docs/guides/usage.md), or delete it.',
        ),
  )
}
