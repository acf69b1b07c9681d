import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const SCRIPT = fileURLToPath(new URL('load.lua', import.meta.url))
/** Of wrk: longer than any load here. */
const LONGEST_SECONDS = 7_200

interface Plan {
  url: string
  /** Each request has one of them, at random. */
  tokens: readonly string[]
  connections: number
  /** Of a connection, between two requests. Default: none, as many requests as the gateway answers. */
  pauseMs?: number
  /** After how many responses it ends by itself. */
  requests?: number
  /** After how many seconds it ends by itself. */
  seconds?: number
}

/** What the gateway answered. */
export interface Answered {
  statuses: Record<string, number>
  /** Requests without a response. */
  broken: number
  p50Ms: number
  p99Ms: number
}

/** One thread of wrk, which keeps its connections. */
export class Load {
  readonly #child: ChildProcess
  /** When it has ended, by itself or by `stop`. */
  readonly ended: Promise<Answered>

  constructor({ url, tokens, connections, pauseMs = 0, requests = 0, seconds = LONGEST_SECONDS }: Plan) {
    const folder = mkdtempSync(join(tmpdir(), 'mintmark-load-'))
    const file = join(folder, 'tokens')
    // Tokens are credentials: not among the arguments.
    writeFileSync(file, tokens.map(token => `${token}\n`).join(''), { mode: 0o600 })
    const options = ['--threads=1', `--connections=${connections}`, `--duration=${seconds}s`]
    const script = ['--timeout=30s', '--latency', '--script', SCRIPT]
    const words = [...options, ...script, url, '--', file, String(requests), String(pauseMs)]
    this.#child = spawn('wrk', words, { stdio: ['ignore', 'pipe', 'inherit'] })
    this.ended = answered(this.#child).finally(() => rmSync(folder, { recursive: true, force: true }))
    // The caller of `ended` receives a failure; an earlier one must not be unhandled.
    this.ended.catch(() => {})
  }

  /** As by Ctrl-C: it reports what it has. */
  stop(): Promise<Answered> {
    this.#child.kill('SIGINT')
    return this.ended
  }
}

async function answered(child: ChildProcess): Promise<Answered> {
  let output = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString()
    if (output.includes('\n!\n')) child.kill('SIGINT')
  })
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', () => resolve())
  })
  const line = output.split('\n').find(text => text.startsWith('@'))
  if (!line) throw new Error(`wrk said: ${output}`)
  return JSON.parse(line.slice(1))
}

/** Loads of several gateways as one: their requests, and what was not a 200. */
export function summed(all: readonly Answered[]): { requests: number; others: Record<string, number> } {
  const others: Record<string, number> = {}
  let requests = 0
  const add = (status: string, count: number) => {
    requests += count
    if (status !== '200' && count > 0) others[status] = (others[status] ?? 0) + count
  }
  for (const { statuses, broken } of all) {
    for (const [status, count] of Object.entries(statuses)) add(status, count)
    add('none', broken)
  }
  return { requests, others }
}
