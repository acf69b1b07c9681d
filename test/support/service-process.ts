import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bundled } from './bundled-source.ts'
import { childEnvironment } from './child-environment.ts'
import { until } from './until.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/** Base URLs of the listeners. */
export interface ServiceUrls {
  public: string
  admin: string
  gateway: string
  gatewayGrpc: string
  ops: string
  /** Where usage is received. */
  otlpHttp?: string
}

/** The service as an operator runs it: a separate process with src/main.ts, bundled (bundled-source.ts). */
export interface ServiceProcess {
  pid: number
  child: ChildProcess
  /** Everything it has printed so far. */
  output(): string
  /** Log lines with this message, parsed. */
  logged(message: string): Record<string, unknown>[]
  /** Base URLs, once it reports that it is ready. */
  ready(deadlineMs?: number): Promise<ServiceUrls>
  exited: Promise<{ code: number | null; signal: NodeJS.Signals | null; ms: number }>
  /** kill -9, unless it has ended; resolves when it has. */
  kill(): Promise<void>
}

/** Where stdout and stderr of a process go. */
export interface Output {
  /** A descriptor that the process inherits; it is closed here. */
  open(): number
  /** What the process has written, as far as it was read. */
  text(): string
  /** The process is over. */
  close(): void
}

/** A file that is gone when the process is. */
export function fileOutput(): Output {
  const path = join(tmpdir(), `mintmark-output-${randomUUID()}`)
  let all: string | undefined
  const text = () => all ?? readFileSync(path, 'utf8')
  return {
    open: () => openSync(path, 'a'),
    text,
    close: () => {
      all = text()
      rmSync(path)
    },
  }
}

/** Starts the service, or a file with arguments, in its own environment (child-environment.ts). */
export function startProcess(env: Record<string, string>, ...file: string[]): ServiceProcess {
  return startProcessTo(fileOutput(), env, ...file)
}

/** The same, with its output somewhere else. */
export function startProcessTo(
  output: Output,
  env: Record<string, string>,
  ...file: string[]
): ServiceProcess {
  const { text } = output
  const descriptor = output.open()
  const child = spawn(process.execPath, file.length > 0 ? file : [bundled('main')], {
    cwd: ROOT,
    env: childEnvironment(env),
    stdio: ['ignore', descriptor, descriptor],
  })
  closeSync(descriptor)
  const begin = performance.now()
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null; ms: number }>(resolve => {
    child.once('close', (code, signal) => {
      output.close()
      resolve({ code, signal, ms: performance.now() - begin })
    })
  })
  const logged = (message: string) =>
    text()
      .split('\n')
      .slice(0, -1)
      .filter(line => line.startsWith('{') && line.includes(message))
      .map(line => JSON.parse(line) as Record<string, unknown>)
      .filter(line => line.msg === message)
  return {
    pid: child.pid ?? 0,
    child,
    output: text,
    logged,
    ready: async deadlineMs => {
      const found = () => {
        if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${text()}`)
        return logged('ready')[0]
      }
      const line = await until('the process is ready', found, Boolean, deadlineMs)
      return line as unknown as ServiceUrls
    },
    exited,
    kill: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
      await exited
    },
  }
}
