import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

/** Below the ephemeral ports of Linux (32768), macOS and Windows (49152), above well-known ports. */
const FIRST = 12_000
const END = 32_000

/**
 * A port of `host` that is free at this moment, for a program that starts later. It is not an ephemeral port: other
 * suites use those all the time, and would now and then take it before the program does.
 */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST, END)
    const probe = createServer().listen(port, host)
    const free = await once(probe, 'listening').then(() => true, isTaken)
    if (!free) continue
    await new Promise(resolve => probe.close(resolve))
    return port
  }
}

function isTaken(error: NodeJS.ErrnoException): false {
  if (error.code !== 'EADDRINUSE') throw error
  return false
}
