import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { until } from '../../support/until.ts'
import { type Issued, type Load, startLoad } from './load.ts'
import {
  PATIENCE_MS,
  type ReplicaSet,
  type StoredKey,
  scaleTime,
  startReplicaSet,
  storedKeys,
} from './replica-set.ts'

/** Thirty days are twelve seconds; the staleness window is longer than the outage, so that exchanges continue. */
const INTERVAL = 12
const LEAD = 4
let replicas: ReplicaSet
let load: Load

beforeAll(async () => {
  replicas = await startReplicaSet(3, {
    MINTMARK_PUBLISH_LEAD_SECONDS: String(LEAD),
    MINTMARK_STALENESS_SECONDS: '300',
  })
  const secret = await replicas.makeKey()
  await scaleTime(replicas, { interval: INTERVAL, lead: LEAD })
  await sleep(2_000)
  load = startLoad(
    replicas.members.map(member => member.urls.public),
    secret,
    60,
  )
})
afterAll(async () => {
  await load?.stop()
  await replicas?.stop()
})

const inState = (keys: StoredKey[], state: string) => keys.find(key => key.state === state)
const jwksOf = async (member: ReplicaSet['members'][number]) =>
  (await (await fetch(`${member.urls.public}/.well-known/jwks.json`)).json()) as { keys: { kid: string }[] }

describe('the database down for three rotation intervals', () => {
  it('replicas activate their standby on schedule, then keep it and raise an alarm; all recover by themselves', async () => {
    // Just after a rotation, so that all know the next activation and it happens during the outage.
    const keys = await until(
      'a next turn that all know of',
      () => storedKeys(replicas.database),
      found => {
        const left = (inState(found, 'standby')?.activatesAt?.getTime() ?? 0) - Date.now()
        return left > 6_000 && left < 10_000
      },
      PATIENCE_MS,
    )
    const [active, standby] = [inState(keys, 'active'), inState(keys, 'standby')]
    const begun = load.issued.length
    await Promise.all(replicas.members.map(member => member.network.become('refuse')))
    await sleep(3 * INTERVAL * 1000)

    const during = load.issued.slice(begun)
    const turn = (standby?.activatesAt?.getTime() ?? 0) / 1000
    const wrong = (token: Issued) => token.kid !== (token.iat >= Math.ceil(turn) ? standby?.kid : active?.kid)
    const undecided = (token: Issued) => token.iat === Math.floor(turn)
    expect(during.filter(token => wrong(token) && !undecided(token))).toEqual([])
    expect(new Set(during.map(token => token.kid))).toEqual(new Set([active?.kid, standby?.kid]))
    for (const member of replicas.members) {
      expect((await jwksOf(member)).keys.map(key => key.kid)).toContain(standby?.kid)
      const alarms = member.process.logged(
        'this replica knows no standby signing key: it keeps signing with the active one',
      )
      expect(alarms).toMatchObject([{ level: 'error', alarm: 'no-successor-ES256', kid: standby?.kid }])
    }
    expect(load.refused).toEqual([])

    await Promise.all(replicas.members.map(member => member.network.become('none')))
    await until(
      'the next key signs, after it was published for the lead',
      () => load.issued.at(-1)?.kid,
      kid => kid !== standby?.kid,
      PATIENCE_MS,
    )
    const next = inState(await storedKeys(replicas.database), 'active')
    expect((next?.activatesAt?.getTime() ?? 0) - (next?.publishedAt.getTime() ?? 0)).toBeGreaterThanOrEqual(
      LEAD * 1000,
    )
    await until(
      'all publish the same',
      async () => {
        const sets = await Promise.all(replicas.members.map(jwksOf))
        return new Set(sets.map(set => JSON.stringify(set))).size === 1
      },
      Boolean,
      PATIENCE_MS,
    )
    for (const { process } of replicas.members)
      expect(process.logged('alarm resolved').map(line => line.alarm)).toContain('no-successor-ES256')
    expect(load.refused).toEqual([])
    console.log(
      `${during.length} tokens while the database was gone, of two keys, 0 by the wrong one; 0 refused`,
    )
  })
})
