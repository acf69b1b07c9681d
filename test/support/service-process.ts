import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { childEnvironment } from './child-environment.ts'
import { until } from './until.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/** The service as an operator runs it: a process of its own on src/main.ts. */
export interface ServiceProcess {
  pid: number
  child: ChildProcess
  /** Everything it has printed so far. */
  output(): string
  /** Log lines of this message, parsed. */
  logged(message: string): Record<string, unknown>[]
  /** Base URLs, once it says that it is ready. */
  ready(deadlineMs?: number): Promise<{ public: string; admin: string; ops: string }>
  exited: Promise<{ code: number | null; signal: NodeJS.Signals | null; ms: number }>
  /** kill -9, unless it is gone; resolves when it is. */
  kill(): Promise<void>
}

/** Starts `src/main.ts`, or another file with arguments, in an environment of its own: child-environment.ts. */
export function startProcess(env: Record<string, string>, ...file: string[]): ServiceProcess {
  // To a file, as a full pipe would hold the process up.
  const log = join(tmpdir(), `mintmark-output-${randomUUID()}`)
  const output = openSync(log, 'a')
  const child = spawn(process.execPath, file.length > 0 ? file : ['src/main.ts'], {
    cwd: ROOT,
    env: childEnvironment(env),
    stdio: ['ignore', output, output],
  })
  closeSync(output)
  const begin = performance.now()
  let all: string | undefined
  const text = () => all ?? readFileSync(log, 'utf8')
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null; ms: number }>(resolve => {
    child.once('close', (code, signal) => {
      all = text()
      rmSync(log)
      resolve({ code, signal, ms: performance.now() - begin })
    })
  })
  const logged = (message: string) =>
    text()
      .split('\n')
      .slice(0, -1)
      .flatMap(line => (line.startsWith('{') ? [JSON.parse(line) as Record<string, unknown>] : []))
      .filter(line => line.msg === message)
  return {
    pid: child.pid ?? 0,
    child,
    output: text,
    logged,
    ready: async (deadlineMs = 15_000) => {
      const found = () => {
        if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${text()}`)
        return logged('ready')[0]
      }
      const line = await until('the process is ready', found, Boolean, deadlineMs)
      return line as unknown as { public: string; admin: string; ops: string }
    },
    exited,
    kill: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
      await exited
    },
  }
}
