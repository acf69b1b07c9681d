import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { ServerProcess } from './process.ts'

/** Of a connection, before the load begins: see load.lua. */
const OPENING_MS_EACH = 4
const SCRIPT = fileURLToPath(new URL('load.lua', import.meta.url))

/** The result of a load. */
export interface Measured {
  perSecond: number
  p50Ms: number
  p99Ms: number
  /** CPU time of the server per request, in microseconds: the figure that other load on the machine affects least. */
  cpuMicros: number
}

export interface Load {
  path: string
  /** A file of Authorization values, of which random lines are sent, or of bodies, which are sent in turn; absent: GET without a credential. */
  credentials?: string
  /** The request: a POST to the token endpoint, by Authorization or by a body as a form or JSON, or a gateway's GET to the check. */
  purpose?: 'exchange' | 'form' | 'json' | 'check'
  connections: number
  seconds: number
  /** The core of the load generator; absent: any. */
  core?: number
}

/**
 * Sends as many requests as one thread of wrk can, from its own core.
 * @throws {Error} when wrk is missing, or a response was not a success: that would be another measurement.
 */
export async function applyLoad(server: ServerProcess, load: Load): Promise<Measured> {
  const { connections, seconds, credentials } = load
  // A GET without a credential is sent at once.
  const openingMs = credentials === undefined ? 0 : connections * OPENING_MS_EACH
  const wrk = [
    'wrk',
    '--threads=1',
    `--connections=${connections}`,
    `--duration=${seconds + Math.ceil(openingMs / 1_000)}s`,
    '--timeout=10s',
  ]
  const pinned = load.core === undefined ? wrk : ['taskset', '-c', String(load.core), ...wrk]
  const before = server.cpuMicros()
  const output = await run([
    ...pinned,
    '--script',
    SCRIPT,
    server.url + load.path,
    '--',
    credentials ?? '-',
    load.purpose ?? 'exchange',
    String(connections),
    String(openingMs),
  ])
  const used = server.cpuMicros() - before
  server.truncateLog()
  const line = output.split('\n').find(text => text.startsWith('@'))
  if (!line) throw new Error(`wrk said: ${output}`)
  const result = JSON.parse(line.slice(1))
  if (result.refused + result.broken > 0)
    throw new Error(`${server.url}${load.path} was not all answered: ${line}`)
  const { requests, p50Ms, p99Ms } = result
  if (requests === 0) throw new Error(`${server.url}${load.path} answered nothing within ${seconds} s`)
  return { perSecond: requests / result.seconds, p50Ms, p99Ms, cpuMicros: used / requests }
}

function run([command = '', ...rest]: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString('utf8')
    })
    child.once('error', reject)
    child.once('close', code =>
      code === 0 ? resolve(output) : reject(new Error(`${command} ended with ${code}: ${output}`)),
    )
  })
}
