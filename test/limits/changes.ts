import { decodeJwt } from 'jose'
import type { Checks } from '../engine/checks.ts'
import type { Environment } from '../faults/environment/environment.ts'
import type { Replica } from '../faults/environment/replica.ts'
import { until } from '../support/until.ts'
import { ask, type Credential, type Setting, statuses, upTo } from './setting.ts'

const ROUNDS = 20
/** By when the list of revoked tokens reaches Envoy on a busy machine. */
const REVOKED_MS = 30_000
/** What a limit of requests may not be: the first is the one that Envoy would ignore silently. */
const NO_LIMITS = ['9999', '', 9.5, 0, -1, 4_294_967_296, true, [9999], { requests_per_unit: 9999 }]
const FIELDS = ['requests_per_minute', 'requests_per_day', 'tokens_per_minute', 'tokens_per_day'] as const

/** What changes a limit, from when, and what does not. */
export async function checkChanges(
  checks: Checks,
  setting: Setting,
  environment: Environment,
): Promise<void> {
  console.log('\nchanged limits')
  await checkRaised(checks, setting)
  await checkNextToken(checks, setting, environment)
  await checkOlderToken(checks, setting)
  await checkRevoked(checks, setting)
  await checkNumbers(checks, setting)
}

/** @throws {Error} when it was not answered with success: what is measured begins with that answer. */
async function change(setting: Setting, path: string, body: object): Promise<void> {
  const { status, text } = await setting.mintmark.admin('PATCH', path, body)
  if (status !== 200) throw new Error(`a change got ${status}: ${text}`)
}

async function tokenOf(replica: Replica, { secret }: Credential): Promise<string> {
  return (await replica.exchange(secret)).body.access_token
}

async function checkRaised(checks: Checks, setting: Setting) {
  const { clock, envoy, mintmark, tenant } = setting
  clock.nextMinute()
  const made = await tenant({ requests_per_minute: 2 })
  await checks.equal(
    'a changed limit is in the next token, the old token has the old one; what was refused counts for this limit',
    [...upTo(2, 3), ...upTo(1, 3), 429],
    async () => {
      const found = await statuses(envoy.url, made.token, 3)
      await change(setting, `/tenants/${made.tenant}`, { limits: { requests_per_minute: 4 } })
      // 3 of the 4 are used.
      found.push(...(await statuses(envoy.url, await tokenOf(mintmark, made), 3)))
      return [...found, ...(await statuses(envoy.url, made.token, 1))]
    },
  )
}

/** The limit that Envoy says it counts by, after each of many changes: with the next token, and with the API key. */
async function checkNextToken(checks: Checks, setting: Setting, environment: Environment) {
  const { clock, envoy, mintmark, postgres, tenant, replicaEnv } = setting
  clock.nextMinute()
  const other = await environment.replica(postgres.applicationUrl(), replicaEnv)
  const made = await tenant({ requests_per_minute: 1_000 })
  const counted = async (credential: string) => {
    const { headers } = await ask(envoy.url, credential)
    return Number(String(headers['x-ratelimit-limit']).split(',')[0])
  }
  await counted(made.secret)
  const times = { token: [] as number[], key: [] as number[], elsewhere: [] as number[] }
  const found: number[][] = []
  const numbers = Array.from({ length: ROUNDS }, (_, round) => 1_001 + round)
  for (const requests_per_minute of numbers) {
    await change(setting, `/tenants/${made.tenant}`, { limits: { requests_per_minute } })
    const since = performance.now()
    const byToken = await counted(await tokenOf(mintmark, made))
    times.token.push(performance.now() - since)
    const byKey = await counted(made.secret)
    times.key.push(performance.now() - since)
    found.push([byToken, byKey])
    await until(
      'another replica issues it',
      async () => decodeJwt(await tokenOf(other, made)).limits,
      limits => JSON.stringify(limits).includes(`"requests_per_unit":${requests_per_minute},`),
    )
    times.elsewhere.push(performance.now() - since)
  }
  await checks.equal(
    `${ROUNDS} changes: each is in the next token, and holds for the API key's next request`,
    numbers.map(number => [number, number]),
    () => found,
  )
  for (const [what, all] of [
    ['exchanged and counted by, with a token', times.token],
    ['then with the API key', times.key],
    ['then issued by another replica', times.elsewhere],
  ] as const) {
    const sorted = all.toSorted((one, another) => one - another)
    const [median, most] = [sorted[Math.floor(sorted.length / 2)], sorted.at(-1)]
    console.log(
      `  note    after the response to a change, ${what}: median ${median?.toFixed(0)} ms, at most ${most?.toFixed(0)} ms`,
    )
  }
}

/** The bound of a cut without `revoke_tokens`: both count into one bucket, so the older token adds nothing to its own, older limit. */
async function checkOlderToken(checks: Checks, setting: Setting) {
  const { clock, envoy, mintmark, tenant } = setting
  clock.nextMinute()
  const made = await tenant({ requests_per_minute: 6 })
  await change(setting, `/tenants/${made.tenant}`, { limits: { requests_per_minute: 2 } })
  const newer = await tokenOf(mintmark, made)
  await checks.equal(
    'a cut from 6 to 2: with the new token 2, and with the older one no more than 6 together',
    [...upTo(2, 3), ...upTo(3, 6), 429, 429],
    async () => [
      ...(await statuses(envoy.url, newer, 3)),
      // The refused request of the new token counts for this limit too.
      ...(await statuses(envoy.url, made.token, 6)),
      ...(await statuses(envoy.url, newer, 1)),
      ...(await statuses(envoy.url, made.secret, 1)),
    ],
  )
  clock.nextMinute()
  await checks.equal(
    'in each minute until the older token expires, in any order',
    [...upTo(6, 8), 429, 429],
    async () => [
      ...(await statuses(envoy.url, made.token, 8)),
      ...(await statuses(envoy.url, newer, 1)),
      ...(await statuses(envoy.url, made.secret, 1)),
    ],
  )
}

/** With `revoke_tokens`, at an Envoy that has the list of revoked tokens. */
async function checkRevoked(checks: Checks, setting: Setting) {
  const { clock, mintmark, tenant } = setting
  clock.nextMinute()
  const envoy = await setting.revokingEnvoy()
  const made = await tenant({ requests_per_minute: 1_000 })
  const status = async (token: string) => (await ask(envoy.url, token)).status
  await checks.equal('an Envoy with the list accepts the token before', 200, () => status(made.token))
  await change(setting, `/tenants/${made.tenant}`, {
    limits: { requests_per_minute: 2 },
    revoke_tokens: true,
  })
  const since = performance.now()
  await checks.equal('a cut with `revoke_tokens`: the older token is refused', 401, () =>
    until(
      '401',
      () => status(made.token),
      found => found === 401,
      REVOKED_MS,
    ),
  )
  console.log(`  note    ${(performance.now() - since).toFixed(0)} ms after the response to the change`)
  clock.nextMinute()
  const newer = await tokenOf(mintmark, made)
  await checks.equal('and the next one has the lower limit', upTo(2, 4), () => statuses(envoy.url, newer, 4))
}

/** A number as a string would be in the token without an effect: it never gets there. */
async function checkNumbers(checks: Checks, setting: Setting) {
  const { clock, envoy, key, mintmark, tenant } = setting
  clock.nextMinute()
  const made = await tenant({ requests_per_minute: 3 }, { requests_per_minute: 2 })
  const tier = await mintmark.admin('PUT', '/tiers/limited', { priority: 0 })
  await checks.equal('a tier of its own', true, () => tier.status < 300)
  const requests: [string, string, (limits: object) => object][] = [
    ['PATCH', `/tenants/${made.tenant}`, limits => ({ limits })],
    ['PATCH', `/keys/${made.key}`, limits => ({ limits })],
    ['POST', `/tenants/${made.tenant}/keys`, limits => ({ limits })],
    ['PUT', '/tiers/limited', limits => ({ priority: 0, limits })],
  ]
  await checks.equal(
    'no string, fraction, 0 or list is a limit, of a tenant, a key or a tier',
    [],
    async () => {
      const accepted: string[] = []
      for (const [method, path, body] of requests)
        for (const field of FIELDS)
          for (const value of NO_LIMITS) {
            const { status } = await mintmark.admin(method, path, body({ [field]: value }))
            if (status !== 400)
              accepted.push(`${method} ${path} ${field} ${JSON.stringify(value)}: ${status}`)
          }
      return accepted
    },
  )
  await checks.equal('the limits are what they were', [...upTo(2, 4), ...upTo(1, 3)], async () => [
    ...(await statuses(envoy.url, await tokenOf(mintmark, made), 4)),
    // Two keys of one tenant share what is left of its 3.
    ...(await statuses(envoy.url, (await key(made.tenant)).token, 3)),
  ])
}
