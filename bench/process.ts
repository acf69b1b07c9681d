import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, rmSync, truncateSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { until } from '../test/support/until.ts'

/** Servers run on one core, the load generator on another. */
export const SERVER_CORE = 0
export const LOAD_CORE = 1
const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** Clock ticks in /proc: USER_HZ, which Linux fixes for all programs. */
const TICKS_PER_SECOND = 100
/** Keycloak makes its schema at its first start, on one core. */
const LONGEST_START_MS = 300_000

/** Moves a process with all its threads, and what it starts later. False: this is not Linux, or has no such core. */
export function moveTo(core: number, pid: number): boolean {
  try {
    execFileSync('taskset', ['-a', '-p', '-c', String(core), String(pid)], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** A server in its own process on one core, as it runs outside of benchmarks. */
export interface ServerProcess {
  pid: number
  url: string
  /** URL of the gateway listener, if any. */
  gatewayUrl: string
  /** URL of the ops listener, if any. */
  opsUrl: string
  /** Milliseconds from the start of the process until it logged that it is ready. */
  startMs: number
  /** CPU time used so far by all threads, those of its processes included, in microseconds. */
  cpuMicros(): number
  /** The processes that it started. */
  children(): number[]
  residentBytes(): number
  /** Its stderr. */
  complaints(): string
  /** Truncates its log file. */
  truncateLog(): void
  /** Stops it and its processes where they are (SIGSTOP) until `resume()`: they use no CPU. */
  pause(): void
  resume(): void
  stop(): Promise<void>
}

/**
 * Starts `script` with Node on `core`, or on a list of cores such as `0,1`. A JSON line of its stdout with the message
 * "ready" and the base URL in `public` means that it listens.
 */
export function startServer(options: {
  core: number | string
  script: string[]
  env?: Record<string, string>
  directory: string
  /** The checkout to run from; absent: this one. */
  checkout?: string
  log?: LogOutput
  /** As of `startProgram`; absent: by that line. */
  ready?: Ready
}): Promise<ServerProcess> {
  const { script, checkout, ready = readyLine, ...rest } = options
  return startProgram({
    ...rest,
    command: [process.execPath, ...script],
    ...(checkout !== undefined && { cwd: checkout }),
    ready,
  })
}

/** Where a server's stdout goes: a file, or a pipe that another process on the load's core copies to that file. */
export type LogOutput = 'file' | 'pipe'

/** Given what the server said so far: its base URLs once it listens. */
type Ready = (said: string) => Urls | undefined | Promise<Urls | undefined>

/** Starts a program, with its stdout in a file of `directory`. */
export async function startProgram(options: {
  core: number | string
  command: string[]
  env?: Record<string, string>
  directory: string
  cwd?: string
  log?: LogOutput
  ready: Ready
}): Promise<ServerProcess> {
  const begin = performance.now()
  const file = join(options.directory, `server-${process.hrtime.bigint()}`)
  const [stdout, stderr] = [openOutput(`${file}.out`, options.log), openSync(`${file}.err`, 'a')]
  const said = () => readFileSync(`${file}.out`, 'utf8')
  const child = spawn('taskset', ['-c', String(options.core), ...options.command], {
    cwd: options.cwd ?? ROOT,
    env: { PATH: process.env.PATH ?? '', ...options.env },
    stdio: ['ignore', stdout, stderr],
  })
  closeSync(stdout)
  closeSync(stderr)
  const complaints = () => readFileSync(`${file}.err`, 'utf8')
  const what = options.command.join(' ')
  const listening = async () => {
    if (hasEnded(child)) throw new Error(`${what} ended: ${said()}${complaints()}`)
    return options.ready(said())
  }
  const ready = await until(`${what} is ready`, listening, Boolean, LONGEST_START_MS).catch(async error => {
    await ended(child)
    throw error
  })
  const pid = child.pid ?? 0
  const signal = (name: NodeJS.Signals) => {
    if (hasEnded(child)) return
    for (const each of [pid, ...childrenOf(pid)]) process.kill(each, name)
  }
  return {
    pid,
    url: ready?.public ?? '',
    gatewayUrl: ready?.gateway ?? '',
    opsUrl: ready?.ops ?? '',
    startMs: performance.now() - begin,
    cpuMicros: () => [pid, ...childrenOf(pid)].reduce((sum, each) => sum + cpuMicros(each), 0),
    children: () => childrenOf(pid),
    residentBytes: () => residentBytes(pid),
    complaints,
    truncateLog: () => truncateSync(`${file}.out`),
    pause: () => signal('SIGSTOP'),
    resume: () => signal('SIGCONT'),
    stop: async () => {
      await ended(child)
      await Promise.all([rm(`${file}.out`), rm(`${file}.err`)])
    },
  }
}

/** A descriptor for the server. The reader of a pipe ends with the server, its only writer. */
function openOutput(file: string, log: LogOutput = 'file'): number {
  const copy = openSync(file, 'a')
  if (log === 'file') return copy
  const pipe = `${file}.pipe`
  execFileSync('mkfifo', [pipe])
  spawn('taskset', ['-c', String(LOAD_CORE), 'cat', pipe], { stdio: ['ignore', copy, 'inherit'] })
  closeSync(copy)
  const writing = openSync(pipe, 'w')
  rmSync(pipe)
  return writing
}

interface Urls {
  public: string
  gateway?: string
  ops?: string
}

function readyLine(output: string): Urls | undefined {
  const line = output
    .split('\n')
    .find(text => text.startsWith('{') && text.endsWith('}') && text.includes('"msg":"ready"'))
  return line === undefined ? undefined : JSON.parse(line)
}

function cpuMicros(pid: number): number {
  // The name in parentheses may contain anything; the fields after it are numbered from 3.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return ((Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND) * 1e6
}

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  return text === '' ? [] : text.split(' ').map(Number)
}

export function residentBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
}

const hasEnded = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null

async function ended(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return
  const exit = new Promise(resolve => child.once('exit', resolve))
  child.kill('SIGTERM')
  await exit
}
