import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { deployFiles } from '../../deploy/generate/deploy-files.ts'
import type { Behind, Gateway } from './check-environment.ts'
import { substitute } from './envoy.ts'
import { newerProgram, startProgram } from './program.ts'

const deploy = new URL('../../deploy/', import.meta.url).pathname

/**
 * deploy/haproxy itself, with the addresses and paths that a user would change, and the keys as fetch-keys.sh downloads
 * them. `proxyLine`: sent before the request that finds out whether it answers. `clock`: the file with the limits, on a newer
 * HAProxy, which reads the second since 1970 from this file. `collector`: the file that writes usage, to this port.
 */
export function startHaproxy(
  { mintmark, ports }: Behind,
  changes: [string, string][] = [],
  proxyLine = '',
  clock?: string,
  collector?: number,
): Promise<Gateway> {
  const reporting = collector === undefined ? undefined : deployFiles(undefined, undefined, 'http')
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
      const shipped =
        reporting?.[`deploy/haproxy/${file}`] ?? (await readFile(join(deploy, 'haproxy', file), 'utf8'))
      const config = substitute(shipped, [
        ...changes,
        ...(reporting ? ([['collector:5140', `127.0.0.1:${collector}`]] satisfies [string, string][]) : []),
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
      if (reporting) await writeFile(join(folder, 'usage.lua'), reporting['deploy/haproxy/usage.lua'] ?? '')
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
