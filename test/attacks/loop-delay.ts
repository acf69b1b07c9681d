import { writeSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'

/**
 * Loaded before Mintmark's own code: writes the longest event-loop delay of each interval, and the most that the loop's thread
 * worked in one turn, as a line of the log. The delay has also the time in which other processes had every core.
 */
const INTERVAL_MS = 100
const RESOLUTION_MS = 5
const SHORTEST_REPORTED_MS = 10

const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
delays.enable()

const workedMs = () => {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1_000
}
let before = workedMs()
let longestWork = 0
// Due in every turn that ends after the resolution, so between two calls is one long turn at most.
setInterval(() => {
  const now = workedMs()
  longestWork = Math.max(longestWork, now - before)
  before = now
}, RESOLUTION_MS).unref()

setInterval(() => {
  const ms = delays.max / 1e6 - RESOLUTION_MS
  delays.reset()
  if (Math.max(ms, longestWork) >= SHORTEST_REPORTED_MS)
    writeSync(1, `${JSON.stringify({ msg: 'loop delay', ms, workMs: longestWork })}\n`)
  longestWork = 0
}, INTERVAL_MS).unref()
