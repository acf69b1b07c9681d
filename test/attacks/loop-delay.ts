import { writeSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'

/** Loaded before Mintmark's own code: writes the longest event-loop delay of each interval, as a line of the log. */
const INTERVAL_MS = 100
const RESOLUTION_MS = 5
const SHORTEST_REPORTED_MS = 10

const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
delays.enable()
setInterval(() => {
  const ms = delays.max / 1e6 - RESOLUTION_MS
  delays.reset()
  if (ms >= SHORTEST_REPORTED_MS) writeSync(1, `${JSON.stringify({ msg: 'loop delay', ms })}\n`)
}, INTERVAL_MS).unref()
