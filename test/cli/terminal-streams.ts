import { PassThrough } from 'node:stream'
import { run } from '../../src/cli/run.ts'
import { withStreams } from '../../src/cli/streams.ts'
import { childEnvironment } from '../support/child-environment.ts'
import type { Outcome } from './mintmark.ts'

/** Runs `mintmark …` for a person at a terminal, who types these lines, one at each question. */
export async function atTerminal(
  args: readonly string[],
  { env = {}, typed = [] }: { env?: Record<string, string>; typed?: readonly string[] } = {},
): Promise<Outcome> {
  const lines = [...typed]
  const stdin = terminal()
  const [stdout, stderr] = [terminal(), terminal()]
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

const terminal = () => Object.assign(new PassThrough(), { isTTY: true, columns: 200 })
