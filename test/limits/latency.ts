import { ask, type Limits, type Setting } from './setting.ts'

const SAMPLES = 200
const ALL: Limits = {
  requests_per_minute: 1_000_000,
  requests_per_day: 1_000_000,
  tokens_per_minute: 1_000_000,
  tokens_per_day: 1_000_000,
}

/** Prints what limits cost a request. Not a check: noise of the machine moves it. */
export async function printLatency({ clock, envoy, tenant }: Setting): Promise<void> {
  clock.nextDay()
  const credentials = [
    await tenant({}),
    await tenant({ requests_per_minute: 1_000_000 }),
    await tenant(ALL, ALL),
  ]
  const times: number[][] = credentials.map(() => [])
  for (let i = 0; i < SAMPLES; i++)
    for (const [which, { token }] of credentials.entries()) {
      const begin = performance.now()
      await ask(envoy.url, token)
      times[which]?.push(performance.now() - begin)
    }
  const [none, one, eight] = times.map(
    each => `${each.toSorted((a, b) => a - b)[SAMPLES / 2]?.toFixed(2)} ms`,
  )
  console.log(
    `  note    median of a request: ${none} without limits, ${one} with one, ${eight} with all eight`,
  )
}
