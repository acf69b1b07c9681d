import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Behind, Gateway } from './check-environment.ts'
import { substitute } from './envoy.ts'
import { newerProgram, startProgram } from './program.ts'

const deploy = new URL('../../deploy/', import.meta.url).pathname

/**
 * deploy/haproxy itself, with the addresses and paths that a user would change, and the keys as fetch-keys.sh downloads
 * them. `proxyLine`: sent before the request that finds out whether it answers. `clock`: the file with the limits, on a newer
 * HAProxy, which reads the second since 1970 from this file.
 */
export function startHaproxy(
  { mintmark, ports }: Behind,
  changes: [string, string][] = [],
  proxyLine = '',
  clock?: string,
): Promise<Gateway> {
  return startProgram(
    clock === undefined ? 'haproxy' : newerProgram('haproxy'),
    async (folder, port) => {
      await promisify(execFile)('bash', [
        join(deploy, 'fetch-keys.sh'),
        mintmark.service.urls.public,
        folder,
        '4',
      ]).catch(({ code, stderr }) => {
        if (code !== 10) throw new Error(`fetch-keys.sh ended with ${code}: ${stderr}`)
      })
      const file = clock === undefined ? 'haproxy.cfg' : 'haproxy-limits.cfg'
      const config = substitute(await readFile(join(deploy, 'haproxy', file), 'utf8'), [
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
      if (clock !== undefined) {
        const limits = await readFile(join(deploy, 'haproxy/limits.lua'), 'utf8')
        const shown = `(tonumber(io.open("${clock}"):read("a")))`
        await writeFile(join(folder, 'limits.lua'), substitute(limits, [['os.time()', shown]]))
      }
      return ['-db', '-f', join(folder, 'haproxy.cfg')]
    },
    proxyLine,
  )
}
