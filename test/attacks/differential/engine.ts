import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { python } from '../../clients/python.ts'

/** A request as the engine read it. */
export interface Seen {
  path: string
  headers: [name: string, value: string][]
  /** False: the engine refuses the body. */
  reads: boolean
  /** Null: the engine would use its base model. */
  model: string | null
}

export interface Engine {
  port: number
  url: string
  /** What has been seen since the last call. */
  seen(): Promise<Seen[]>
  stop(): void
}

/** A real uvicorn with httptools. @throws {Error} when Python or a package is missing. */
export async function startEngine(): Promise<Engine> {
  const file = new URL('engine.py', import.meta.url).pathname
  const child = spawn(python, [file], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'exit').then(() => {
    throw new Error('the engine did not start: run `bash scripts/install-test-tools.sh`')
  })
  const [line] = await Promise.race([once(child.stdout, 'data'), ended])
  ended.catch(() => {})
  const port = Number(line)
  const url = `http://127.0.0.1:${port}`
  return {
    port,
    url,
    seen: async () => (await (await fetch(`${url}/seen`)).json()) as Seen[],
    stop: () => child.kill(),
  }
}
