import { expect, it } from 'vitest'
import { type Clock, systemClock } from '../../src/system/clock.ts'
import { Metrics } from '../../src/system/metrics.ts'
import { registerProcessMetrics } from '../../src/system/process-metrics.ts'
import { until } from '../support/until.ts'

async function watched() {
  let turn = async () => {}
  const clock: Clock = {
    ...systemClock,
    every: (_ms, task) => {
      turn = task
      return () => {}
    },
  }
  const metrics = new Metrics()
  const stop = registerProcessMetrics(metrics, clock)
  const delay = async (statistic: string) => {
    const line = `mintmark_event_loop_delay_seconds{statistic="${statistic}"} `
    const text = await metrics.render()
    return Number(
      text
        .split('\n')
        .find(each => each.startsWith(line))
        ?.slice(line.length),
    )
  }
  // Its first tick has nothing before it to be late against.
  await new Promise(resolve => setTimeout(resolve, 50))
  return { delay, stop, turn: () => turn() }
}

function block(ms: number): void {
  const end = performance.now() + ms
  while (performance.now() < end);
}

it('the longest delay of the event loop is seen by everyone who scrapes, until a whole window is past', async () => {
  const { delay, stop, turn } = await watched()
  block(400)
  await until(
    'it is seen',
    () => delay('max'),
    seconds => seconds > 0.35,
  )
  expect(await delay('max')).toBeLessThan(2)
  expect(await delay('max'), 'a second scrape').toBeGreaterThan(0.35)
  await turn()
  expect(await delay('max'), 'in the window after').toBeGreaterThan(0.35)
  await new Promise(resolve => setTimeout(resolve, 50))
  await turn()
  expect(await delay('max'), 'two windows later').toBeLessThan(0.35)
  stop()
})

it('a loop that is not held up is hardly late', async () => {
  const { delay, stop } = await watched()
  await new Promise(resolve => setTimeout(resolve, 300))
  expect(await delay('p99')).toBeGreaterThanOrEqual(0)
  expect(await delay('p99')).toBeLessThan(0.1)
  stop()
})
