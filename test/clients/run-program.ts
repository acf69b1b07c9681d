import { spawn } from 'node:child_process'

/** How a program ended, and what it wrote. */
interface Ended {
  status: number | null
  output: string
  errors: string
}

/** Runs a program to its end. What it must keep from others goes into `input` or `env`, never into its arguments. */
export function runProgram(
  program: string,
  args: readonly string[],
  { input = '', env = process.env, cwd }: { input?: string; env?: NodeJS.ProcessEnv; cwd?: string } = {},
): Promise<Ended> {
  const child = spawn(program, args, { env, ...(cwd && { cwd }) })
  const [output, errors]: [string[], string[]] = [[], []]
  child.stdout.setEncoding('utf8').on('data', chunk => output.push(chunk))
  child.stderr.setEncoding('utf8').on('data', chunk => errors.push(chunk))
  // One that ends without reading it has ended, and that is its result.
  child.stdin.on('error', () => {}).end(input)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', status => resolve({ status, output: output.join(''), errors: errors.join('') }))
  })
}
