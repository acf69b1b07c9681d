import { readFileSync, writeFileSync } from 'node:fs'
import { bars } from '../../bench/plot.ts'
import type { Checks } from './checks.ts'
import type { Installation } from './installation.ts'
import { groupsOf, orderOf, ranBefore } from './priorities.ts'
import { type Group, ROUTES, saturate } from './saturated-engine.ts'

const PAIRS = 3
const PAGE = new URL('../../docs/guides/vllm.md', import.meta.url)
const PLOT = new URL('../../docs/images/priorities.svg', import.meta.url)
const ABOUT_PLOT = `The plot shows six batch requests, and behind them two requests of the tier standard and two of the tier premium, on \`/v1/chat/completions\`.

![time to the first token by tier, with and without priorities](../images/priorities.svg)`
const MARKERS = ['<!-- priorities -->', '<!-- /priorities -->'] as const

/**
 * What priorities change for users of a saturated engine: pairs of runs, with the tiers' priorities and without (all clients in the
 * tier standard), one after the other. Prints the table of docs/guides/vllm.md, and with `write` puts it and its plot there.
 */
export async function measurePriorities(
  checks: Checks,
  url: string,
  installation: Installation,
  write: boolean,
): Promise<void> {
  const { acme, blue, plain } = installation
  const rows: string[] = []
  for (const route of ROUTES) {
    const runs = await pairs(async priorities => {
      const [batch = [], premium = []] = await saturate(
        url,
        route,
        priorities ? groupsOf(blue.token, acme.token) : groupsOf(plain.token, plain.token),
      )
      return { batch, premium, order: orderOf(batch, premium) }
    })
    for (const [name, of] of [
      ['with', runs.with],
      ['without', runs.without],
    ] as const) {
      const times = (kind: 'premium' | 'batch') => of.map(run => run[kind].map(seconds).join(' ')).join('; ')
      rows.push(
        `| \`${route.path}\` | ${name} | ${of.map(({ order }) => `\`${order}\``).join(', ')} | ${times('premium')} | ${times('batch')} |`,
      )
    }
    const before = (of: readonly { order: string }[]) => of.map(({ order }) => ranBefore(order))
    await checks.equal(
      `${route.path}: in each of ${PAIRS} pairs fewer batch requests run before premium with priorities`,
      true,
      () => {
        const [one, other] = [before(runs.with), before(runs.without)]
        return Math.max(...one) < Math.min(...other) || { with: one, without: other }
      },
    )
  }
  const table = [
    '| route | priorities | order of the first tokens, three runs | seconds to the first token: premium | batch |',
    '|---|---|---|---|---|',
    ...rows,
  ].join('\n')
  console.log(`\n${table}\n`)
  const entries = await tiers(url, installation)
  for (const { name, value } of entries) console.log(`  ${name}: ${Math.round(value)} ms`)
  if (!write) return
  writeFileSync(PLOT, bars('Milliseconds to the first token, saturated engine, median', entries))
  writeFileSync(PAGE, between(readFileSync(PAGE, 'utf8'), `${table}\n\n${ABOUT_PLOT}`))
}

/** Six long requests of batch, then two short ones of standard, then two of premium. */
async function tiers(
  url: string,
  { acme, blue, plain }: Installation,
): Promise<{ name: string; value: number }[]> {
  const short = (credential: string): Group => ({ ...groupsOf('', credential)[1] })
  const [chat] = ROUTES
  if (!chat) throw new Error('there is no route')
  const runs = await pairs(priorities => {
    const [batch, standard, premium] = priorities
      ? [blue.token, plain.token, acme.token]
      : [plain.token, plain.token, plain.token]
    return saturate(url, chat, [groupsOf(batch, premium)[0], short(standard), short(premium)])
  })
  const median = (of: readonly number[][][], group: number) => {
    const sorted = of.flatMap(run => run[group] ?? []).toSorted((a, b) => a - b)
    return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
  }
  return [
    ['premium', 2],
    ['standard', 1],
    ['batch', 0],
  ].flatMap(([tier, group]) => [
    { name: `${tier}, with priorities`, value: median(runs.with, Number(group)) },
    { name: `${tier}, without`, value: median(runs.without, Number(group)) },
  ])
}

/** Runs each kind in turn, so that a machine that becomes slower slows down both. */
async function pairs<T>(run: (priorities: boolean) => Promise<T>): Promise<{ with: T[]; without: T[] }> {
  const found = { with: [] as T[], without: [] as T[] }
  for (let pair = 0; pair < PAIRS; pair++) {
    found.with.push(await run(true))
    found.without.push(await run(false))
  }
  return found
}

const seconds = (ms: number) => (ms / 1000).toFixed(1)

function between(page: string, content: string): string {
  const [from, to] = MARKERS.map(marker => page.indexOf(marker)) as [number, number]
  if (from < 0 || to < from) throw new Error(`docs/guides/vllm.md lacks the markers ${MARKERS.join(' and ')}`)
  return `${page.slice(0, from + MARKERS[0].length)}\n${content}\n${page.slice(to)}`
}
