import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ISSUER } from '../../../deploy/generate/example.ts'
import { send } from '../../gateway-configs/client.ts'
import { deployedEnvoy } from '../../gateway-configs/environment.ts'
import type { Envoy } from '../../gateway-configs/envoy.ts'
import { type RecordingUpstream, startRecordingUpstream } from '../../support/recording-upstream.ts'
import { until } from '../../support/until.ts'
import { type CachingVerifier, startEnvoyCache, startIstiod } from './caching-verifiers.ts'
import { type Issued, type Load, startLoad } from './load.ts'
import {
  FULL,
  PATIENCE_MS,
  type ReplicaSet,
  scaleTime,
  showMeasurement,
  startReplicaSet,
  storedKeys,
} from './replica-set.ts'

/**
 * Two hours of publish lead are ten seconds here, and everything that verifiers do is scaled with it: istiod's twenty
 * minutes and its back-off, Envoy's five minutes. (60 + 10 + 60 + 10) / 20 retire at a time, so nine keys are published.
 * The staleness window is no longer than the lead, as in real time: a replica that is cut off lacks no key that signs.
 */
const LEAD = 10
const STALENESS = 10
const INTERVAL = 20
const REFRESH_MS = (LEAD * 1000) / 6
const CACHE_MS = (LEAD * 1000) / 24
const ROTATIONS = FULL ? 10 : 2
const PER_SECOND = 300
/** Six failures in a row, and one after which it waits for its maximum time. */
const CLIMBING = [0.05, 0.1, 0.2, 0.4, 0.8, 1.6]
const LONGEST = [3]

let replicas: ReplicaSet
let upstream: RecordingUpstream
let envoy: Envoy
let verifiers: CachingVerifier[]
let load: Load
let failures: string[]
let verified = 0
let throughEnvoy = 0
let recent: Issued[] = []

beforeAll(async () => {
  replicas = await startReplicaSet(3, {
    MINTMARK_ISSUER: ISSUER,
    MINTMARK_PUBLISH_LEAD_SECONDS: String(LEAD),
    MINTMARK_TOKEN_TTL_SECONDS: '60',
    MINTMARK_STALENESS_SECONDS: String(STALENESS),
  })
  upstream = await startRecordingUpstream()
  const urls = replicas.members.map(member => member.urls.public)
  let turn = 0
  const jwks = () => `${urls[turn++ % urls.length]}/.well-known/jwks.json`
  envoy = await deployedEnvoy({ jwks: Number(new URL(urls[0] ?? '').port), upstream: upstream.port }, [
    ['cache_duration: 300s', 'cache_duration: 1s'],
  ])
  verifiers = [
    await startIstiod('istiod', jwks, REFRESH_MS, CLIMBING),
    await startIstiod('istiod at its longest', jwks, REFRESH_MS, LONGEST),
    startEnvoyCache(jwks, CACHE_MS),
  ]
  failures = []
  const secret = await replicas.makeKey()
  await until(
    'all know the key',
    async () => {
      const tried = startLoad(urls, secret, 60)
      await sleep(300)
      await tried.stop()
      return tried.refused.length === 0 && tried.issued.length > 10
    },
    Boolean,
    PATIENCE_MS,
  )
  await scaleTime(replicas, { interval: INTERVAL, lead: LEAD })
  load = startLoad(urls, secret, PER_SECOND, check)
  throughEnvoyEnds = sendThroughEnvoy()
})
afterAll(async () => {
  stopped = true
  for (const { process } of replicas?.members ?? []) {
    const faults = process
      .logged('background task failed; retrying')
      .concat(process.logged('directory is stale: changes cannot be read from the database'))
    if (faults.length > 0) console.log(`${process.pid}:`, JSON.stringify(faults))
  }
  await load?.stop()
  await throughEnvoyEnds
  for (const verifier of verifiers ?? []) verifier.stop()
  await envoy?.stop()
  await upstream?.stop()
  await replicas?.stop()
})

let stopped = false
let throughEnvoyEnds: Promise<void> | undefined

/** Verifies every token at once with every verifier, and with it one issued earlier within its lifetime. */
function check(token: Issued): void {
  recent.push(token)
  if (recent.length > 50 * PER_SECOND) recent = recent.slice(-45 * PER_SECOND)
  const older = recent[Math.floor(Math.random() * recent.length)] ?? token
  for (const { jwt } of [token, older]) {
    for (const verifier of verifiers) {
      verified++
      verifier.verify(jwt).catch(error => failures.push(error.message))
    }
  }
}

/** Twenty tokens per second, the newest and an older one in turn. */
async function sendThroughEnvoy(): Promise<void> {
  for (let count = 0; !stopped; count++) {
    await sleep(50)
    const token = count % 2 === 0 ? recent.at(-1) : recent[Math.floor(Math.random() * recent.length)]
    if (!token || expectedToFail(token)) continue
    const { status, text } = await send(envoy.url, { method: 'GET', path: '/v1/models', token: token.jwt })
    throughEnvoy++
    if (status !== 200 && !expectedToFail(token)) failures.push(`Envoy answers ${status}: ${text}`)
    upstream.forget()
  }
}

let revoked = ''
const expectedToFail = (token: Issued) => token.kid === revoked

/**
 * The longest time for which two replicas published different bytes, in milliseconds, and the number of comparisons.
 */
async function watchJwks(
  over: () => boolean,
): Promise<{ samples: number; refused: number; longestMs: number; largest: number }> {
  const seen = { samples: 0, refused: 0, longestMs: 0, largest: 0 }
  let differsSince: number | undefined
  while (!over()) {
    const answers = await Promise.all(
      replicas.members.map(({ urls }) => fetch(`${urls.public}/.well-known/jwks.json`)),
    )
    const texts = await Promise.all(answers.map(answer => answer.text()))
    const now = performance.now()
    if (answers.some(({ ok }) => !ok)) {
      seen.refused++
      continue
    }
    seen.samples++
    seen.largest = Math.max(seen.largest, JSON.parse(texts[0] ?? '').keys.length)
    if (new Set(texts).size === 1) differsSince = undefined
    else {
      differsSince ??= now
      seen.longestMs = Math.max(seen.longestMs, now - differsSince)
    }
    await sleep(100)
  }
  return seen
}

const changes = () => new Set(load.issued.map(token => token.kid)).size - 1

describe('three replicas under 300 exchanges a second', () => {
  it(`rotate ${ROTATIONS} times, and no verifier ever receives an unknown kid`, async () => {
    const jwks = await watchJwks(() => changes() >= ROTATIONS)
    await sleep(2_000)
    const fetches = verifiers.map(
      ({ name, fetches }) => `${name}: ${fetches().good} fetches, ${fetches().failed} failed`,
    )
    console.log(
      `${load.issued.length} tokens, ${changes()} rotations, ${verified} verifications by caches, ${throughEnvoy} requests through Envoy, ` +
        `${failures.length} failures; JWKS compared ${jwks.samples} times, at most ${jwks.largest} keys, different for at most ${Math.round(jwks.longestMs)} ms; ${fetches.join('; ')}`,
    )
    // For diagnosis: the replica and its message.
    const refusals = load.refused.map(
      ({ member, status, words }) => `replica ${member}: ${status} ${words ?? ''}`,
    )
    expect([...new Set(refusals)]).toEqual([])
    expect([...new Set(failures)]).toEqual([])
    showMeasurement('looks at the JWKS of all replicas that one refused', jwks.refused, { exactly: 0 })
    expect(jwks.samples).toBeGreaterThan(10)
    showMeasurement('replicas publish different keys for', jwks.longestMs, { atMost: 1_000, unit: 'ms' })
    // Otherwise a verifier that fetches from one replica could lack the key that another signs with.
    expect(jwks.longestMs).toBeLessThan(LEAD * 1000)
    expect(jwks.largest).toBeLessThanOrEqual(10)
    expect(changes()).toBeGreaterThanOrEqual(ROTATIONS)
    expect(throughEnvoy).toBeGreaterThan(100)
  })

  it('an emergency: a second after the response no connected replica signs with the key, and the new one verifies at once', async () => {
    await until(
      'the standby is known to verifiers, and its activation is not near',
      () => storedKeys(replicas.database),
      keys => {
        const standby = keys.find(key => key.state === 'standby')
        const left = (standby?.activatesAt?.getTime() ?? 0) - Date.now()
        return (
          standby !== undefined && Date.now() - standby.publishedAt.getTime() > LEAD * 1000 && left > 4_000
        )
      },
      PATIENCE_MS,
    )
    const cutOff = replicas.members[2]
    const before = (await storedKeys(replicas.database)).find(key => key.state === 'active')
    await cutOff?.network.become('refuse')
    const cutAt = performance.now()
    failures = []
    revoked = before?.kid ?? ''
    const { status, body } = await replicas.admin('POST', `/signing-keys/${revoked}/revoke`, {
      reason: 'a drill',
    })
    const acknowledged = performance.now()
    expect(status).toBe(200)
    const unconfirmed = body.replicas.filter((replica: { state: string }) => replica.state === 'unconfirmed')
    expect(unconfirmed.map((replica: { host: string }) => replica.host)).toEqual([
      expect.stringMatching(new RegExp(`:${cutOff?.process.pid}$`)),
    ])
    await sleep((STALENESS + 1.5) * 1000)
    const late = (member: number, since: number) =>
      load.issued.filter(token => token.kid === revoked && token.member === member && token.sentAt > since)
    expect([late(0, acknowledged + 1_000), late(1, acknowledged + 1_000)]).toEqual([[], []])
    // The disconnected replica continues until its staleness window is over, as reported, and not a second longer.
    expect(late(2, acknowledged).length).toBeGreaterThan(0)
    expect(late(2, cutAt + (STALENESS + 1.5) * 1000)).toEqual([])
    const next = load.issued.filter(token => token.sentAt > acknowledged && token.kid !== revoked)
    expect(new Set(next.map(token => token.kid)).size).toBe(1)
    const ofNext = failures.filter(failure => !failure.includes(revoked))
    console.log(
      `${next.length} tokens of the new key after the answer, ${ofNext.length} not verified; ${late(2, acknowledged).length} of the revoked key from the replica that was cut off`,
    )
    expect(ofNext).toEqual([])
    await cutOff?.network.become('none')
    await until(
      'it is notified',
      async () => {
        const { body } = await replicas.admin('POST', `/signing-keys/${revoked}/revoke`, {})
        return body.replicas.every((replica: { state: string }) => replica.state === 'confirmed')
      },
      Boolean,
      PATIENCE_MS,
    )
  })
})
