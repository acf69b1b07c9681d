import { type Counter, oneByOne } from './llm-tokens.ts'
import type { Matrix } from './matrix.ts'
import { type Credential, type Limits, type Setting, statuses, upTo } from './setting.ts'

const COST = 16

/**
 * Each of the eight limits at the gateway at `url`, by token and by API key. `counter`: of its buckets, if it names them in its own way.
 * `ofTokens`: also the four of LLM tokens.
 */
export async function checkEightLimits(
  matrix: Matrix,
  setting: Setting,
  url: string,
  { counter, ofTokens = true }: { counter?: Counter; ofTokens?: boolean } = {},
): Promise<void> {
  const { clock, key, tenant } = setting
  for (const by of ['token', 'API key'] as const)
    for (const bucket of ['tenant', 'key'] as const) {
      clock.nextDay()
      const made = (limits: Limits) => (bucket === 'tenant' ? tenant(limits) : tenant({}, limits))
      const credentialOf = (of: Credential) => (by === 'token' ? of.token : of.secret)
      const sent = (of: Credential, count: number) => statuses(url, credentialOf(of), count)
      const what = `of a ${bucket}, by ${by}`
      const [three, five] = [await made({ requests_per_minute: 3 }), await made({ requests_per_minute: 5 })]
      const requests = { bucket, limit: 'requests', by } as const
      const both = async () => [await sent(three, 7), await sent(five, 7)]
      await matrix.shows(requests, `3 and 5 requests a minute ${what}`, [upTo(3, 7), upTo(5, 7)], both)
      if (bucket === 'tenant')
        await matrix.shows(requests, `nothing more with another key, by ${by}`, [429, 429, 429], async () =>
          sent(await key(three.tenant), 3),
        )
      const four = await made({ requests_per_day: 4 })
      const daily = { bucket, limit: 'requests_daily', by } as const
      await matrix.shows(daily, `4 requests a day ${what}, over two minutes`, upTo(4, 6), async () => {
        const first = await sent(four, 3)
        clock.nextMinute()
        return [...first, ...(await sent(four, 3))]
      })
      if (!ofTokens) continue
      for (const [limit, field, most, passing] of [
        ['tokens', 'tokens_per_minute', 40, 3],
        ['tokens_daily', 'tokens_per_day', 64, 5],
      ] as const) {
        const limited = await made({ [field]: most })
        const name = `${most} LLM tokens (${limit}) ${what}, ${COST} a request`
        const found = () =>
          oneByOne(setting, url, limited, credentialOf(limited), `${bucket}_${limit}`, passing + 2, counter)
        await matrix.shows({ bucket, limit, by }, name, upTo(passing, passing + 2), found)
      }
    }
}
