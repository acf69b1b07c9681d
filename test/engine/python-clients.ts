import { spawn } from 'node:child_process'
import { ENGINE_PYTHON } from './engine.ts'

/** The class that a client raises. */
export async function classOf(answer: Promise<unknown>): Promise<string> {
  try {
    await answer
    return 'no error'
  } catch (error) {
    return (error as Error).constructor.name
  }
}

/** Runs a script of this folder; its input, which has a credential, goes by stdin. @throws {Error} with Python's message */
export function inPython(name: string, given: object): Promise<unknown> {
  const script = new URL(name, import.meta.url).pathname
  const child = spawn(ENGINE_PYTHON, [script], { stdio: ['pipe', 'pipe', 'pipe'] })
  const [output, errors]: [string[], string[]] = [[], []]
  child.stdout.on('data', chunk => output.push(String(chunk)))
  child.stderr.on('data', chunk => errors.push(String(chunk)))
  child.stdin.end(JSON.stringify(given))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', status =>
      status === 0 ? resolve(JSON.parse(output.join(''))) : reject(new Error(errors.join('').slice(-2_000))),
    )
  })
}
