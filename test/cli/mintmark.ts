import { spawn } from 'node:child_process'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import { childEnvironment } from '../support/child-environment.ts'
import type { TestService } from '../support/test-service.ts'

export const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

/** The result of a command. */
export interface Outcome {
  code: number | null
  stdout: string
  stderr: string
}

export interface Surroundings {
  env?: Record<string, string>
  /** Standard input; empty by default. */
  input?: string
}

/** Runs `mintmark …` in a process of its own, in an environment of its own: child-environment.ts. */
export function mintmark(
  args: readonly string[],
  { env = {}, input = '' }: Surroundings = {},
): Promise<Outcome> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: tmpdir(),
    env: childEnvironment(env),
  })
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  return outcome(child)
}

/** Runs a line of shell with the command `mintmark`. */
export function shell(line: string, { env = {}, input = '' }: Surroundings = {}): Promise<Outcome> {
  const script = `mintmark() { "${process.execPath}" "${MAIN}" "$@"; }\n${line}`
  const child = spawn('bash', ['--norc', '-o', 'pipefail', '-c', script], {
    cwd: tmpdir(),
    env: childEnvironment(env),
  })
  child.stdin.end(input)
  return outcome(child)
}

async function outcome(child: ReturnType<typeof spawn>): Promise<Outcome> {
  let stdout = ''
  let stderr = ''
  child.stdout?.on('data', chunk => {
    stdout += chunk
  })
  child.stderr?.on('data', chunk => {
    stderr += chunk
  })
  const code = await new Promise<number | null>(resolve => child.once('close', resolve))
  return { code, stdout, stderr }
}

/** The variables that connect a command to a service. */
function pointedAt(service: TestService): Record<string, string> {
  return {
    MINTMARK_URL: service.service.urls.admin,
    MINTMARK_PUBLIC_URL: service.service.urls.public,
    MINTMARK_TOKEN: service.rootToken,
  }
}

/** Commands for one service: `run` expects them to succeed and returns standard output. */
export function cliOf(service: TestService) {
  const env = pointedAt(service)
  const attempt = (args: readonly string[], input?: string) =>
    mintmark(args, { env, ...(input !== undefined && { input }) })
  const run = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await attempt(args)
    expect(code, `mintmark ${args.join(' ')}\n${stderr}`).toBe(0)
    return stdout
  }
  // biome-ignore lint/suspicious/noExplicitAny: tests read responses of every shape
  const json = async (...args: string[]): Promise<any> => JSON.parse(await run(...args, '-o', 'json'))
  return { env, attempt, run, json }
}
