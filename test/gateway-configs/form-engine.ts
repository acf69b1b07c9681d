import { spawn } from 'node:child_process'
import { python } from '../clients/python.ts'
import { freePort } from '../support/free-port.ts'
import { until } from '../support/until.ts'

const START_MS = 60_000

/** A part of a form as the engine found it: its value, or what is known of a file. */
export type Part = [name: string, value: string | { filename: string; sha256: string }]

/** What parses forms as vLLM does, and answers what it found. The vLLM of test/engine/ has no model for audio. */
export async function startFormEngine(): Promise<{ port: number; stop(): Promise<void> }> {
  const port = await freePort()
  const script = new URL('form_engine.py', import.meta.url).pathname
  const child = spawn(python, [script, String(port)], { stdio: ['ignore', 'ignore', 'inherit'] })
  const ended = new Promise(resolve => child.once('exit', resolve))
  await until('the engine for forms is up', () => fetch(`http://127.0.0.1:${port}/`), Boolean, START_MS)
  return {
    port,
    stop: async () => {
      child.kill()
      await ended
    },
  }
}
