import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { decodeJwt } from 'jose'
import type { Checks } from '../engine/checks.ts'
import type { Environment } from '../faults/environment/environment.ts'
import { scrape } from '../observability/metrics-text.ts'
import { until } from '../support/until.ts'
import { Load, summed } from './load.ts'
import type { Options } from './options.ts'
import { type Credential, end, type Setting, startSetting, statusOf } from './setting.ts'

const TENANTS = 20
const TOKENS_A_KEY = 50
const CONNECTIONS = 16
/** More than two Envoys on two cores answer: the changes are made while a number of requests is sent. */
const MOST_A_SECOND = 10_000
/** How long an entry stays on the list after its end, and gateways take to receive the list without it. */
const REMOVED_MS = 120_000
const VICTIMS_SHOWN = 30

interface Neighbours {
  /** Its tokens are revoked again and again. */
  victim: Credential
  tenant: string
}

/** Requests with tokens that are not revoked, while entries of the list come and others end. */
export async function checkOtherTokens(
  checks: Checks,
  environment: Environment,
  { requests, seconds, changes }: Options,
): Promise<void> {
  const lasting = requests > 0 ? requests / MOST_A_SECOND : seconds
  const setting = await startSetting(environment, postgres =>
    postgres.sql(
      `INSERT INTO token_revocations (claim, value, ends_at)
       SELECT 'jti', 'ends-' || n, now() + make_interval(secs => 30 + $2 * n / $1) FROM generate_series(1, $1::int) AS n`,
      [changes, lasting],
    ),
  )
  const neighbours: Neighbours[] = []
  const tokens: string[] = []
  for (let index = 0; index < TENANTS; index++) {
    const other = await setting.credential()
    const tenant = String(decodeJwt(other.token).tenant)
    neighbours.push({ victim: await setting.credential(tenant), tenant })
    for (let each = 0; each < TOKENS_A_KEY; each++)
      tokens.push((await setting.mintmark.exchange(other.secret)).body.access_token)
  }
  const doomed = await setting.credential()
  const listed = async () =>
    (await scrape(setting.mintmark.urls.ops)).series.get('mintmark_token_revocations') ?? Number.NaN
  const atFirst = await listed()
  const envoys = [setting.first, setting.second]
  const loads = envoys.map(
    ({ url }) => new Load({ url, tokens, connections: CONNECTIONS, requests: Math.ceil(requests / 2) }),
  )
  environment.onEnd(() => Promise.all(loads.map(load => load.stop())))
  const begun = performance.now()
  const ended = Promise.all(loads.map(load => load.ended))
  let isOver = false
  void ended
    .catch(() => {})
    .finally(() => {
      isOver = true
    })
  const victims: string[] = []
  for (let change = 0; change < changes && !isOver; change++) {
    const { victim, tenant } = neighbours[change % TENANTS] as Neighbours
    victims.push(await revokeOne(setting, change, victim, doomed, tenant))
    const due = begun + ((change + 1) * lasting * 1_000) / changes
    await sleep(Math.max(0, due - performance.now()))
  }
  // Entries of the start leave the list while requests are sent.
  const left = await until(
    'the first entries left the list',
    listed,
    size => size <= victims.length,
    REMOVED_MS + lasting * 1_000,
  )
  if (requests === 0) for (const load of loads) void load.stop()
  const sent = summed(await ended)
  const took = (performance.now() - begun) / 1_000
  console.log(
    `\n  ${sent.requests} requests with ${tokens.length} tokens that were not revoked, in ${took.toFixed(0)} s, while ` +
      `${victims.length} revocations came and ${atFirst} entries ended (at last ${left} on the list)`,
  )
  await checks.equal('none of them was refused', {}, () => sent.others)
  if (requests > 0) await checks.equal('all of them were answered', true, () => sent.requests >= requests)
  await checks.equal('every revocation was made', changes, () => victims.length)
  await checks.equal(`each of the last ${VICTIMS_SHOWN} revoked tokens is refused`, [], async () => {
    const found: number[] = []
    for (const token of victims.slice(-VICTIMS_SHOWN))
      for (const envoy of envoys) found.push(await statusOf(envoy, token))
    return found.filter(status => status !== 401)
  })
}

/** In turn by `jti`, by key and by tenant. Returns a token that is refused from now on. */
async function revokeOne(
  setting: Setting,
  change: number,
  victim: Credential,
  doomed: Credential,
  tenant: string,
): Promise<string> {
  const isTenant = change % 3 === 2
  const { secret } = isTenant ? doomed : victim
  const token: string = (await setting.mintmark.exchange(secret)).body.access_token
  const claims = decodeJwt(token)
  if (isTenant && claims.tenant === tenant) throw new Error('the tokens of the load would be revoked')
  if (isTenant) await end(setting, { tenant: String(claims.tenant) })
  else await end(setting, change % 3 === 0 ? { jti: String(claims.jti) } : { key: victim.key })
  return token
}
