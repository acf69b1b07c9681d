import type { Checks } from './checks.ts'
import type { Installation } from './installation.ts'
import { FORGED, type Group, ROUTES, saturate } from './saturated-engine.ts'

const BATCH = 6
const PREMIUM = 2
/** A request of batch runs for seconds, longer than a busy machine keeps a client from sending. */
const LONG_TOKENS = 1_024
const SHORT_TOKENS = 16
/** The one that ended, the one that ran, and one that was scheduled while the premium requests were on their way. */
const MAY_BE_FIRST = 3
const ROUNDS = 3

/** Six long requests that claim to be urgent, then two short ones. */
export const groupsOf = (batch: string, premium: string): [Group, Group] => [
  { count: BATCH, tokens: LONG_TOKENS, credential: batch, forged: FORGED },
  { count: PREMIUM, tokens: SHORT_TOKENS, credential: premium },
]

/** One letter for each request, in the order of their first tokens: b for batch, P for premium. */
export function orderOf(batch: readonly number[], premium: readonly number[]): string {
  const all = [...batch.map(at => ({ at, letter: 'b' })), ...premium.map(at => ({ at, letter: 'P' }))]
  return all
    .toSorted((a, b) => a.at - b.at)
    .map(({ letter }) => letter)
    .join('')
}

/** The requests of batch that ran before the last premium one. */
export const ranBefore = (order: string): number =>
  [...order.slice(0, order.lastIndexOf('P'))].filter(letter => letter === 'b').length

/**
 * Six long requests of the batch tier, then two short ones of the premium tier: the premium ones run before every batch
 * request that waits, whatever the batch client writes into its body and headers.
 */
export async function checkPriorities(
  checks: Checks,
  url: string,
  { acme, blue }: Installation,
): Promise<void> {
  for (const route of ROUTES) {
    const name = `${route.path}: premium runs before what waits of batch, although batch sends priority -999 in its body and headers`
    await checks.equal(name, true, async () => {
      const orders: string[] = []
      // On a busy machine the premium requests may be sent late. Without priorities they run after all others in every round.
      for (let round = 0; round < ROUNDS; round++) {
        const [batch = [], premium = []] = await saturate(url, route, groupsOf(blue.token, acme.token))
        const order = orderOf(batch, premium)
        console.log(
          `          ${order}; first token after: premium ${list(premium)} s, batch ${list(batch)} s`,
        )
        if (ranBefore(order) <= MAY_BE_FIRST) return true
        orders.push(order)
      }
      return orders
    })
  }
}

const list = (times: readonly number[]) => times.map(ms => (ms / 1000).toFixed(2)).join(' ')
