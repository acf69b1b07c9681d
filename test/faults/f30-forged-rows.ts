import { createHash, randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { generateSigningKey } from '../../src/signing-keys/signing-key.ts'
import { type Experiment, now } from './environment/environment.ts'
import { fillKeys } from './environment/known-keys.ts'
import { streams } from './environment/load.ts'
import { reportExchanges } from './environment/outage.ts'
import type { Replica } from './environment/replica.ts'
import { WHY } from './environment/report.ts'

/** As promised, and for a machine that is busy. */
const ALARM_WITHIN_MS = 10_000
const ALARM_AT_ALL_MS = 60_000

/**
 * Two replicas under load. The application's database role writes rows that would grant trust, without a change in the
 * feed: a signing key of its own in each state, copies of a genuine row's seal, and a hash of its own for a client.
 */
export const experiment: Experiment = {
  id: 'F30',
  title: 'Rows that grant trust are forged under load',
  run: async environment => {
    const { report } = environment
    const postgres = await environment.postgres()
    const known = await fillKeys(postgres, 1_000)
    const replicas = [
      await environment.replica(postgres.applicationUrl()),
      await environment.replica(postgres.applicationUrl()),
    ] as const
    const load = environment.load(
      streams.known(
        replicas,
        known.map(({ secret }) => secret),
        { perSecond: environment.rate(300), connections: 30 },
      ),
    )
    await sleep(1_000)
    const honest = await jwks(replicas[0])
    const begun = now()
    const forged = await forge(postgres.applicationUrl(), known[0]?.id ?? '')
    const seen = new Set<string>()
    const alarms = new Map<Replica, number>()
    let accepted = 0
    const lasts = () => now() - begun < (alarms.size < 2 ? ALARM_AT_ALL_MS : ALARM_WITHIN_MS + 2_000)
    while (lasts()) {
      for (const replica of replicas) {
        seen.add(await jwks(replica))
        const { status } = await replica.exchange('of the attacker', { client_id: 'forged' })
        if (status === 200) accepted++
        if (!alarms.has(replica) && hasAlarms(replica, forged)) alarms.set(replica, now() - begun)
      }
      await sleep(100)
    }
    report.invariant('replicas that report every forged row', alarms.size, { exactly: 2, why: WHY.genuine })
    const took = Math.max(...alarms.values())
    const within = { unit: 'ms', why: WHY.genuine }
    report.invariant('until both have reported them', took, { atMost: ALARM_AT_ALL_MS, ...within })
    report.measurement('until both have reported them', took, { atMost: ALARM_WITHIN_MS, unit: 'ms' })
    report.invariant('JWKS other than before', [...seen].filter(text => text !== honest).length, {
      exactly: 0,
      why: WHY.genuine,
    })
    report.invariant('exchanges of the forged client', accepted, { exactly: 0, why: WHY.genuine })
    report.invariant('forged rows counted by both', await counted(replicas), {
      exactly: 2 * forged.length,
      why: WHY.genuine,
    })
    const { status } = await replicas[0].change('/signing-keys/rotate', {})
    report.invariant('status of a rotation meanwhile', status, { exactly: 200, why: WHY.genuine })
    reportExchanges(report, (await load.stop())('known'), { atLeast: 100, p99: 50 })
  },
}

/** Writes the rows and returns their ids. */
async function forge(url: string, keyId: string): Promise<string[]> {
  const role = new pg.Client({ connectionString: url })
  await role.connect()
  const forged: string[] = []
  for (const state of ['active', 'standby', 'retiring']) {
    const { kid, publicJwk } = await generateSigningKey('ES256')
    await role.query(
      `INSERT INTO signing_keys (kid, alg, state, public_jwk, private_encrypted, encryption_key_id, activates_at,
          sealed_with, seal)
        SELECT $1, alg, $2, $3, private_encrypted, encryption_key_id, now(), sealed_with, seal
        FROM signing_keys WHERE state = 'active' AND seal IS NOT NULL ORDER BY published_at LIMIT 1`,
      [kid, state, JSON.stringify(publicJwk)],
    )
    forged.push(kid)
  }
  const hash = createHash('sha256').update('of the attacker').digest('hex')
  await role.query(
    `INSERT INTO api_key_secrets (id, key_id, client_id, scheme, hash, sealed_with, seal)
      VALUES ('sec_FFFFFFFFFFFFFFFF', $1, 'forged', 'sha256', $2, 'v1:e1:p1', $3)`,
    [keyId, hash, randomBytes(32)],
  )
  await role.end()
  return [...forged, 'sec_FFFFFFFFFFFFFFFF']
}

const MESSAGES = [
  'a signing key in the database has no valid seal: it is neither published nor used',
  'an imported secret in the database has no valid seal: it is not accepted',
]

const jwks = async (replica: Replica) =>
  (await replica.get(`${replica.urls.public}/.well-known/jwks.json`)).text

const hasAlarms = ({ process }: Replica, rows: readonly string[]) => {
  const lines = MESSAGES.flatMap(message => process.logged(message)).map(({ row }) => row)
  return rows.every(row => lines.includes(row))
}

async function counted(replicas: readonly Replica[]): Promise<number> {
  const pages = await Promise.all(replicas.map(replica => replica.get(`${replica.urls.ops}/metrics`)))
  const counts = pages.flatMap(({ text }) => [...text.matchAll(/^mintmark_untrusted_rows\{.*\} (\d+)$/gm)])
  return counts.reduce((sum, [, count]) => sum + Number(count), 0)
}
