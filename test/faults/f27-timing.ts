import { setTimeout as sleep } from 'node:timers/promises'
import { formatCredential } from '../../src/api-keys/api-key.ts'
import { systemRandom } from '../../src/system/random.ts'
import type { Experiment } from './environment/environment.ts'
import { fillKeys, type Key } from './environment/known-keys.ts'
import type { Postgres } from './environment/postgres.ts'
import { type Answer, type Replica, unknownKey } from './environment/replica.ts'
import { WHY } from './environment/report.ts'
import { cropped, mannWhitney, median, welch } from './environment/statistics.ts'

/** Longer than the minimum time between two lookups, which would otherwise be included. */
const PAUSE_MS = 22
/** The usual threshold of side-channel tests, beyond which chance is no explanation. */
const TELLING = 4.5

/** Each kind of rejection is presented in turn, in a random order each round. */
export const experiment: Experiment = {
  id: 'F27',
  title: 'Refusals distinguished by time or form',
  run: async environment => {
    const { report } = environment
    const rounds = environment.full ? 800 : 150
    const postgres = await environment.postgres()
    const keys = await fillKeys(postgres, 10 + 2 * rounds)
    const [revoked, expired] = [keys.splice(0, rounds), keys.splice(0, rounds)]
    await end(postgres, revoked, expired)
    const replica = await environment.replica(postgres.applicationUrl())
    const kinds = kindsOf(keys, revoked, expired)
    const took = new Map([...kinds.keys()].map(kind => [kind, [] as number[]]))
    const forms = new Set<string>()
    const seen = { honest: 0, wrong: 0 }
    for (let round = -10; round < rounds; round++) {
      for (const [kind, secretOf] of shuffled(kinds)) {
        const answer = await present(replica, kind, secretOf(Math.max(0, round)))
        if (answer.status === 401) {
          forms.add(formOf(answer))
          if (round >= 0) took.get(kind)?.push(answer.ms)
        } else seen[answer.status === 503 && answer.headers['retry-after'] ? 'honest' : 'wrong']++
        await sleep(PAUSE_MS)
      }
    }
    const fewest = Math.min(...[...took.values()].map(times => times.length))
    report.invariant('refused of each kind, in turn', fewest, { atLeast: rounds / 2, why: WHY.carriedOut })
    report.invariant('other than 401, or 503 with Retry-After', seen.wrong, { exactly: 0, why: WHY.honest })
    report.measurement('that were 503', seen.honest, { exactly: 0 })
    report.invariant('different refusals among them (status, headers, body)', forms.size, {
      exactly: 1,
      why: WHY.unreadable,
    })
    for (const [kind, times] of took) report.note(`${kind}, median`, median(times), 'ms')
    const of = (kind: string) => took.get(kind) ?? []
    const [wrong, unknown] = [of(WRONG), of(UNKNOWN)]
    report.measurement(
      `|t| between ${WRONG} and ${UNKNOWN} (Welch)`,
      Math.abs(welch(...cropped(wrong, unknown))),
      { atMost: TELLING },
    )
    // Noise affects both equally, because the order of each round is random, and ranks do not depend on its size.
    report.invariant(
      `|z| between ${WRONG} and ${UNKNOWN} (Mann-Whitney)`,
      Math.abs(mannWhitney(wrong, unknown)),
      { atMost: TELLING, why: WHY.unreadable },
    )
  },
}

const WRONG = 'a wrong secret of a real id'
const UNKNOWN = 'an unknown id'
const ANOTHER_TENANT = "a right secret under another's client_id"

/** The keys of a round. None is presented twice, because rejections are cached for a second. */
function kindsOf(
  keys: readonly Key[],
  revoked: readonly Key[],
  expired: readonly Key[],
): Map<string, (round: number) => string> {
  const one = (list: readonly Key[], round: number) => list[round % list.length] as Key
  return new Map<string, (round: number) => string>([
    [WRONG, round => formatCredential('mmk', one(keys, round).id.slice('key_'.length), systemRandom)],
    [UNKNOWN, () => unknownKey()],
    ['a revoked key', round => one(revoked, round).secret],
    ['an expired key', round => one(expired, round).secret],
    [ANOTHER_TENANT, round => one(keys, round).secret],
    ['a wrong checksum', round => `${one(keys, round).secret.slice(0, -6)}000000`],
  ])
}

const present = (replica: Replica, kind: string, secret: string) =>
  replica.exchange(secret, kind === ANOTHER_TENANT ? { client_id: 'someone-else' } : {})

/** Everything that the caller sees, except the time and the request id. */
function formOf({ status, headers, text }: Answer): string {
  const { date, 'x-request-id': requestId, ...rest } = headers
  return JSON.stringify([status, rest, text])
}

function shuffled<K, V>(map: Map<K, V>): [K, V][] {
  const entries = [...map]
  return entries
    .map(entry => ({ entry, place: systemRandom.integer(2 ** 32) }))
    .sort((a, b) => a.place - b.place)
    .map(({ entry }) => entry)
}

async function end(postgres: Postgres, revoked: readonly Key[], expired: readonly Key[]): Promise<void> {
  const ids = (keys: readonly Key[]) => keys.map(({ id }) => id)
  await postgres.sql('UPDATE api_keys SET revoked_at = now() WHERE id = ANY($1)', [ids(revoked)])
  await postgres.sql("UPDATE api_keys SET expires_at = now() - interval '1 hour' WHERE id = ANY($1)", [
    ids(expired),
  ])
}
