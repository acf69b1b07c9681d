import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** A Python with OpenAI's client, installed by scripts/install-test-tools.sh. */
export const python = process.env.MINTMARK_PYTHON ?? join(homedir(), '.cache/mintmark/python/bin/python')

/** For `describe.skipIf`: there is no Python, and it is not required. */
export const lacksPython = (): boolean => !existsSync(python) && process.env.MINTMARK_REQUIRE_GATEWAYS !== '1'

/**
 * Runs one scenario of a script in this folder. Its input goes by stdin, including secrets. @throws {Error} with
 * Python's message.
 */
export function scenario(
  script:
    | 'anthropic_client.py'
    | 'litellm_keys.py'
    | 'openai_admin.py'
    | 'openai_client.py'
    | 'openai_key.py'
    | 'token_provider.py',
  name: string,
  given: object,
  // biome-ignore lint/suspicious/noExplicitAny: scenarios report in every shape
): { said: Promise<void>; result: Promise<any> } {
  const child = spawn(python, [fileURLToPath(new URL(script, import.meta.url)), name])
  let output = ''
  let errors = ''
  child.stdout.on('data', chunk => {
    output += chunk
  })
  const said = new Promise<void>(resolve => child.stderr.once('data', () => resolve()))
  child.stderr.on('data', chunk => {
    errors += chunk
  })
  child.stdin.end(JSON.stringify(given))
  const result = new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', status => (status === 0 ? resolve(JSON.parse(output)) : reject(new Error(errors))))
  })
  return { said, result }
}
