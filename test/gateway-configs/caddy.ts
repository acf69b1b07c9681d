import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Behind, Gateway } from './check-environment.ts'
import { substitute } from './envoy.ts'
import { startProgram } from './program.ts'

/** deploy/caddy/Caddyfile itself, with the addresses that a user would change. */
export function startCaddy({ ports }: Behind, changes: [string, string][] = []): Promise<Gateway> {
  return startProgram('caddy', async (folder, port) => {
    const file = await readFile(new URL('../../deploy/caddy/Caddyfile', import.meta.url), 'utf8')
    const changed = substitute(file, [
      ...changes,
      ['mintmark:8082', `127.0.0.1:${ports.gateway}`],
      ['vllm:8000', `127.0.0.1:${ports.upstream}`],
      [':10000 {', `http://127.0.0.1:${port} {\n\tbind 127.0.0.1`],
    ]).replace(`http://127.0.0.1:${port} {`, `http://:${port} {`)
    await writeFile(join(folder, 'Caddyfile'), changed)
    return ['run', '--config', join(folder, 'Caddyfile'), '--adapter', 'caddyfile']
  })
}
