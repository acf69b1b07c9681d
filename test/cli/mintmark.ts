import { spawn } from 'node:child_process'
import { tmpdir } from 'node:os'
import { Readable, Writable } from 'node:stream'
import { expect } from 'vitest'
import { run } from '../../src/cli/run.ts'
import { withStreams } from '../../src/cli/streams.ts'
import { bundled } from '../support/bundled-source.ts'
import { childEnvironment } from '../support/child-environment.ts'
import type { TestService } from '../support/test-service.ts'

export const MAIN = bundled('cli')

/** What is unavailable is shown at once: retries.test.ts is about waiting. */
const NO_RETRIES = { MINTMARK_RETRY_SECONDS: '0' }

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

/**
 * Runs `mintmark …` with an environment of its own in this process: a process for each of hundreds of commands would be half
 * of the time. What the process itself does is tested by `mintmarkProcess` and `shell`.
 */
export async function mintmark(
  args: readonly string[],
  { env = {}, input = '' }: Surroundings = {},
): Promise<Outcome> {
  const [stdout, stderr] = [new Collected(), new Collected()]
  const streams = { stdin: Readable.from(input ? [input] : []), stdout, stderr }
  const code = await withStreams(streams, () => run(args, childEnvironment({ ...NO_RETRIES, ...env })))
  return { code, stdout: stdout.text, stderr: stderr.text }
}

class Collected extends Writable {
  text = ''
  override _write(chunk: Buffer, _: string, done: () => void): void {
    this.text += chunk
    done()
  }
}

/** Runs `mintmark …` in a process of its own, in an environment of its own: child-environment.ts. */
export function mintmarkProcess(
  args: readonly string[],
  { env = {}, input = '' }: Surroundings = {},
): Promise<Outcome> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: tmpdir(),
    env: childEnvironment({ ...NO_RETRIES, ...env }),
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
    env: childEnvironment({ ...NO_RETRIES, ...env }),
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

/** The variables that connect a command to a service. What cannot be undone is confirmed: confirmation.test.ts is about that. */
function pointedAt(service: TestService): Record<string, string> {
  return {
    MINTMARK_URL: service.service.urls.admin,
    MINTMARK_PUBLIC_URL: service.service.urls.public,
    MINTMARK_TOKEN: service.rootToken,
    MINTMARK_YES: '1',
  }
}

/** Commands for one service: `run` expects them to succeed and returns standard output. */
export function cliOf(service: TestService) {
  const env = pointedAt(service)
  const attempt = (args: readonly string[], input?: string) =>
    mintmark(args, { env, ...(input !== undefined && { input }) })
  const succeed = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await attempt(args)
    expect(code, `mintmark ${args.join(' ')}\n${stderr}`).toBe(0)
    return stdout
  }
  // biome-ignore lint/suspicious/noExplicitAny: tests read responses of every shape
  const json = async (...args: string[]): Promise<any> => JSON.parse(await succeed(...args, '-o', 'json'))
  return { env, attempt, run: succeed, json }
}
