import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { findEnvoy } from '../gateway-configs/envoy.ts'

const CACHE = process.env.MINTMARK_CACHE ?? join(homedir(), '.cache', 'mintmark')

const newest = (prefix: string, file: string): string => {
  const folders = existsSync(CACHE) ? readdirSync(CACHE).filter(name => name.startsWith(prefix)) : []
  return join(CACHE, folders.findLast(name => existsSync(join(CACHE, name, file))) ?? prefix, file)
}

/** What scripts/install-istiod.sh and install-gateways.sh leave. */
export const PROGRAMS = { istiod: newest('istiod-', 'pilot-discovery'), envoy: findEnvoy() ?? 'envoy' }

/** Why the suite cannot run; undefined when it can. */
export function missingPrograms(): string | undefined {
  const missing = Object.values(PROGRAMS).filter(file => !existsSync(file))
  return missing.length > 0
    ? `not installed: ${missing.join(', ')}; run scripts/install-istiod.sh and scripts/install-gateways.sh`
    : undefined
}

export interface Program {
  pid: number
  /** Everything that it has printed. */
  log(): string
  /** `kill -9`, or an orderly end; resolves when it has ended. */
  stop(signal?: NodeJS.Signals): Promise<void>
}

let started = 0

/** Starts a program in a folder, with its output in a file there. */
export function startProgram(
  folder: string,
  file: string,
  args: string[],
  env: Record<string, string> = {},
): Program {
  const path = join(folder, `${file.split('/').pop()}-${started++}.log`)
  const output = openSync(path, 'a')
  const child: ChildProcess = spawn(file, args, {
    cwd: folder,
    stdio: ['ignore', output, output],
    env: { PATH: process.env.PATH, HOME: folder, ...env },
  })
  const ended = new Promise<void>(resolve => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
  return {
    pid: child.pid ?? 0,
    log: () => readFileSync(path, 'utf8'),
    stop: async (signal = 'SIGKILL') => {
      child.kill(signal)
      await ended
    },
  }
}
