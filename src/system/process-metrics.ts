import { readdirSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Clock } from './clock.ts'
import { by, type Metrics } from './metrics.ts'

const RESOLUTION_MS = 10
const WINDOW_MS = 60_000
const FILE_DESCRIPTORS = '/proc/self/fd'

/** What the operating system and Node tell of this process. Returns what stops the watching. */
export function registerProcessMetrics(metrics: Metrics, clock: Clock): () => void {
  const eventLoop = watchEventLoop(clock)
  metrics.gauge(
    'mintmark_event_loop_delay_seconds',
    'How late the event loop was, at the 99th percentile and at most, over the last one to two minutes.',
    () => by('statistic', eventLoop.delaySeconds()),
    ['statistic'],
  )
  metrics.counter('process_cpu_seconds_total', 'CPU time spent, user and system.', () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  })
  metrics.gauge('process_start_time_seconds', 'When the process began, in Unix time.', () => {
    return performance.timeOrigin / 1000
  })
  metrics.gauge('process_resident_memory_bytes', 'Memory that the process holds.', () => {
    return process.memoryUsage.rss()
  })
  metrics.gauge('nodejs_heap_size_used_bytes', 'JavaScript heap in use.', () => {
    return process.memoryUsage().heapUsed
  })
  metrics.gauge('process_open_fds', 'File descriptors that are open; Linux only.', countOpenFiles)
  return eventLoop.stop
}

/** However many scrape, each sees the worse of the window that is over and the one that is under way. */
function watchEventLoop(clock: Clock) {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  histogram.enable()
  // Node records the whole time from one of its ticks to the next.
  const seconds = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS) / 1000
  const read = () => ({ p99: seconds(histogram.percentile(99)), max: seconds(histogram.max) })
  let previous = { p99: 0, max: 0 }
  const stopTurning = clock.every(WINDOW_MS, async () => {
    previous = read()
    histogram.reset()
  })
  return {
    delaySeconds: () => {
      const current = read()
      return { p99: Math.max(previous.p99, current.p99), max: Math.max(previous.max, current.max) }
    },
    stop: () => {
      stopTurning()
      histogram.disable()
    },
  }
}

function countOpenFiles(): number | undefined {
  try {
    return readdirSync(FILE_DESCRIPTORS).length
  } catch {
    return undefined
  }
}
