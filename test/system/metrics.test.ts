import { expect, it } from 'vitest'
import { Distribution } from '../../src/system/distribution.ts'
import { Metrics } from '../../src/system/metrics.ts'

it('writes a histogram as Prometheus reads one: each bucket with those before it, a bound belonging to its bucket', async () => {
  const metrics = new Metrics()
  const distribution = new Distribution([0.5, 1, 2])
  for (const seconds of [0.25, 0.5, 0.75, 2, 8]) distribution.add(seconds)
  metrics.histogram('seconds', 'How long.', () => [{ labels: { route: '/a' }, distribution }], ['route'])
  expect((await metrics.render()).trim().split('\n')).toEqual([
    '# HELP seconds How long.',
    '# TYPE seconds histogram',
    'seconds_bucket{le="0.5",route="/a"} 2',
    'seconds_bucket{le="1",route="/a"} 3',
    'seconds_bucket{le="2",route="/a"} 4',
    'seconds_bucket{le="+Inf",route="/a"} 5',
    'seconds_sum{route="/a"} 11.5',
    'seconds_count{route="/a"} 5',
  ])
})
