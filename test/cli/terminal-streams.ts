import { PassThrough } from 'node:stream'
import { run } from '../../src/cli/run.ts'
import { withStreams } from '../../src/cli/streams.ts'
import { childEnvironment } from '../support/child-environment.ts'
import type { Outcome } from './mintmark.ts'

/** Runs `mintmark …` for a person at a terminal of so many columns, who types these lines, one at each question. */
export async function atTerminal(
  args: readonly string[],
  {
    env = {},
    typed = [],
    columns = 200,
  }: { env?: Record<string, string>; typed?: readonly string[]; columns?: number } = {},
): Promise<Outcome> {
  const lines = [...typed]
  const stdin = terminal(columns)
  const [stdout, stderr] = [terminal(columns), terminal(columns)]
  let [out, err] = ['', '']
  stdout.on('data', chunk => {
    out += chunk
  })
  stderr.on('data', (chunk: Buffer) => {
    err += chunk
    // A question ends without a new line.
    if (/: $/.test(String(chunk))) stdin.write(`${lines.shift() ?? '\u0003'}\r`)
  })
  const code = await withStreams({ stdin, stdout, stderr }, () => run(args, childEnvironment(env)))
  // biome-ignore lint/suspicious/noControlCharactersInRegex: readline moves the cursor
  return { code, stdout: out, stderr: err.replaceAll(/\u001b\[[0-9;]*[A-Za-z]/g, '').replaceAll('\r', '') }
}

const terminal = (columns: number) => Object.assign(new PassThrough(), { isTTY: true, columns })
