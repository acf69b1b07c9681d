import { expect, it } from 'vitest'
import { Unavailable } from '../../src/errors.ts'
import { mergeCounts, ofProcess, renderMerged } from '../../src/system/merged-metrics.ts'
import { Metrics } from '../../src/system/metrics.ts'
import { until } from '../support/until.ts'

const lines = async (metrics: Metrics) => (await metrics.render()).trim().split('\n')

it('writes a histogram as Prometheus reads one: each bucket with those before it, a bound belonging to its bucket', async () => {
  const metrics = new Metrics()
  const observe = metrics.histogram('seconds', 'How long.', [0.5, 1, 2], ['route'])
  for (const seconds of [0.25, 0.5, 0.75, 2, 8]) observe({ route: '/a' }, seconds)
  expect(await lines(metrics)).toEqual([
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

it('leaves out a gauge without a value, and shows it again once it has one', async () => {
  const metrics = new Metrics()
  let value: number | undefined
  metrics.gauge('known', 'Known or not.', 'max', () => value)
  metrics.gauge('ready', 'Throws at first.', 'max', () => {
    if (value === undefined) throw new Unavailable('Not yet.')
    return true
  })
  const samples = async () => (await lines(metrics)).filter(line => !line.startsWith('#') && line !== '')
  expect(await samples()).toEqual([])
  value = 0
  expect(await samples()).toEqual(['known 0', 'ready 1'])
})

it('has the metrics of Node.js dashboards: processor, memory, files, event loop, garbage collection', async () => {
  const metrics = new Metrics()
  metrics.collectProcessMetrics()
  const lag = (text: string) => Number(/^nodejs_eventloop_lag_p99_seconds (.+)$/m.exec(text)?.[1])
  const text = await until(
    'the event loop is measured',
    () => metrics.render(),
    page => lag(page) > 0,
  )
  for (const name of [
    'process_cpu_seconds_total',
    'process_resident_memory_bytes',
    'process_start_time_seconds',
    'nodejs_heap_size_used_bytes',
    'nodejs_eventloop_lag_p99_seconds',
    ...(process.platform === 'linux' ? ['process_open_fds'] : []),
  ])
    expect(text).toMatch(new RegExp(`^${name} [\\d.e+-]+$`, 'm'))
  expect(text).toContain('# TYPE nodejs_gc_duration_seconds histogram')
})

it('merges processes: counters and histograms are sums, gauges what they were declared to be, each series once', async () => {
  const process = (number: number) => {
    const metrics = new Metrics()
    metrics.counter('done_total', 'Done.', () => number)
    metrics.gauge('waiting', 'Waiting.', 'sum', () => number)
    metrics.gauge('staleness', 'Staleness.', 'max', () => number)
    metrics.gauge('position', 'Position.', 'min', () => (number === 9 ? undefined : number))
    metrics.gauge('process_memory', 'Of the process.', 'max', () => number)
    metrics.histogram('seconds', 'How long.', [1, 5], [])({}, number)
    return metrics.snapshot()
  }
  const [first, second, ended] = await Promise.all([process(2), process(3), process(9)])
  const past = await mergeCounts([ended])
  const text = await renderMerged([ofProcess(first, '1'), ofProcess(second, '2'), past])
  const samples = text.split('\n').filter(line => !line.startsWith('#') && line !== '')
  expect(samples.sort()).toEqual([
    'done_total 14',
    'position 2',
    'process_memory{process="1"} 2',
    'process_memory{process="2"} 3',
    'seconds_bucket{le="+Inf"} 3',
    'seconds_bucket{le="1"} 0',
    'seconds_bucket{le="5"} 2',
    'seconds_count 3',
    'seconds_sum 14',
    'staleness 3',
    'waiting 5',
  ])
})
