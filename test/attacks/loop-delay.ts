import { writeSync } from 'node:fs'

/**
 * Loaded before Mintmark's own code: writes the longest event-loop delay of each interval, and the most that the loop's thread
 * worked in one turn, as a line of the log. The delay has also the time in which other processes had every core. Not
 * `monitorEventLoopDelay`: its reset forgets the delay after which it is read.
 */
const INTERVAL_MS = 100
const RESOLUTION_MS = 5
const SHORTEST_REPORTED_MS = 10

function workedMs(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1_000
}

let last = { at: performance.now(), worked: workedMs() }
let longest = { ms: 0, workMs: 0 }
// Due in every turn that ends after the resolution, so between two calls is one long turn at most.
setInterval(() => {
  const now = { at: performance.now(), worked: workedMs() }
  longest = {
    ms: Math.max(longest.ms, now.at - last.at - RESOLUTION_MS),
    workMs: Math.max(longest.workMs, now.worked - last.worked),
  }
  last = now
}, RESOLUTION_MS).unref()

setInterval(() => {
  if (longest.ms >= SHORTEST_REPORTED_MS || longest.workMs >= SHORTEST_REPORTED_MS)
    writeSync(1, `${JSON.stringify({ msg: 'loop delay', ...longest })}\n`)
  longest = { ms: 0, workMs: 0 }
}, INTERVAL_MS).unref()
