import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Behind, Gateway } from './check-environment.ts'
import { substitute } from './envoy.ts'
import { startProgram } from './program.ts'

const deploy = new URL('../../deploy/', import.meta.url).pathname

/**
 * deploy/haproxy itself, with the addresses and paths that a user would change, and the keys as fetch-keys.sh downloads
 * them. `proxyLine`: sent before the request that finds out whether it answers.
 */
export function startHaproxy(
  { mintmark, ports }: Behind,
  changes: [string, string][] = [],
  proxyLine = '',
): Promise<Gateway> {
  return startProgram(
    'haproxy',
    async (folder, port) => {
      await promisify(execFile)('bash', [
        join(deploy, 'fetch-keys.sh'),
        mintmark.service.urls.public,
        folder,
        '4',
      ]).catch(({ code, stderr }) => {
        if (code !== 10) throw new Error(`fetch-keys.sh ended with ${code}: ${stderr}`)
      })
      const config = substitute(await readFile(join(deploy, 'haproxy/haproxy.cfg'), 'utf8'), [
        ...changes,
        ['/etc/haproxy/mintmark/', `${folder}/`],
        ['bind 0.0.0.0:10000', `bind 127.0.0.1:${port}`],
        ['vllm:8000', `127.0.0.1:${ports.upstream}`],
        ['mintmark:8082', `127.0.0.1:${ports.gateway}`],
      ])
      await writeFile(join(folder, 'haproxy.cfg'), config)
      await writeFile(
        join(folder, 'mintmark.lua'),
        await readFile(join(deploy, 'haproxy/mintmark.lua'), 'utf8'),
      )
      return ['-db', '-f', join(folder, 'haproxy.cfg')]
    },
    proxyLine,
  )
}
