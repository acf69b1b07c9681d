import { spawn } from 'node:child_process'

/**
 * Runs a program that prints JSON. Secrets and tokens go to it by standard input, because others can read the arguments of a process.
 * @throws {Error} with what it wrote to stderr, when it ends with another status than 0
 */
export function jsonOf<T>(program: string, parameters: string[], input: string): Promise<T> {
  const child = spawn(program, parameters)
  let output = ''
  let errors = ''
  child.stdout.on('data', chunk => {
    output += chunk
  })
  child.stderr.on('data', chunk => {
    errors += chunk
  })
  child.stdin.end(input)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', status => (status === 0 ? resolve(JSON.parse(output)) : reject(new Error(errors))))
  })
}
