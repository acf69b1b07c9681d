import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { deployFiles } from '../../deploy/generate/deploy-files.ts'
import type { Behind, Gateway } from './check-environment.ts'
import { substitute } from './envoy.ts'
import { newerProgram, startProgram } from './program.ts'

const NEWER_NJS = join(newerProgram('nginx'), '../../usr/lib/nginx/modules/ngx_http_js_module.so')
const deploy = new URL('../../deploy/', import.meta.url).pathname

/** What nginx needs of it. */
interface BehindNginx {
  mintmark: { service: { urls: { public: string } } }
  ports: Pick<Behind['ports'], 'gateway' | 'upstream'>
}

/**
 * deploy/nginx itself, with the addresses and paths that a user would change, and the keys as fetch-keys.sh downloads
 * them. `clock`: the file with the limits, on a newer nginx, which reads the second since 1970 from this file. `usageLog`: the file
 * that writes usage, there. `gateChanges`: further changes, of mintmark.js.
 */
export async function startNginx(
  { mintmark, ports }: BehindNginx,
  changes: [string, string][] = [],
  clock?: string,
  usageLog?: string,
  gateChanges: [string, string][] = [],
): Promise<Gateway> {
  const hasLimits = clock !== undefined
  const reporting = usageLog === undefined ? undefined : deployFiles(undefined, undefined, 'http')
  let refusals = ''
  const gateway = await startProgram(hasLimits ? newerProgram('nginx') : 'nginx', async (folder, port) => {
    refusals = join(folder, 'refusals.log')
    const name = hasLimits ? 'nginx-limits.conf' : 'nginx.conf'
    const conf = reporting?.[`deploy/nginx/${name}`] ?? (await readFile(join(deploy, 'nginx', name), 'utf8'))
    const gate = await readFile(join(deploy, 'nginx/mintmark.js'), 'utf8')
    await mkdir(join(folder, 'temp'))
    await promisify(execFile)('bash', [
      join(deploy, 'fetch-keys.sh'),
      mintmark.service.urls.public,
      join(folder, 'keys'),
    ]).catch(({ code }) => {
      if (code !== 10) throw new Error(`fetch-keys.sh ended with ${code}`)
    })
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      kind => `${kind}_temp_path ${folder}/temp/${kind};`,
    )
    const changed = substitute(conf, [
      ...changes,
      [
        'modules/ngx_http_js_module.so',
        hasLimits ? NEWER_NJS : '/usr/lib/nginx/modules/ngx_http_js_module.so',
      ],
      ['pid /run/nginx.pid;', `pid ${folder}/pid;`],
      ['/var/log/nginx/mintmark.log', refusals],
      ...(usageLog === undefined
        ? []
        : ([['/var/log/nginx/mintmark-usage.log', usageLog]] satisfies [string, string][])),
      ['js_path /etc/nginx/mintmark;', `js_path ${folder}; ${temporary.join(' ')}`],
      ['/dev/shm/mintmark', `${folder}/cache`],
      ['server vllm:8000;', `server 127.0.0.1:${ports.upstream};`],
      ['server mintmark:8082 ', `server 127.0.0.1:${ports.gateway} `],
      ['listen 0.0.0.0:10000;', `listen 127.0.0.1:${port};`],
      // The limits are counted by several workers together.
      ['worker_processes auto;', `worker_processes ${hasLimits ? 4 : 1};`],
    ])
    await writeFile(join(folder, 'nginx.conf'), changed)
    const keys = join(folder, 'keys')
    const changedGate = substitute(gate, [...gateChanges, ['/etc/nginx/mintmark/keys', keys]])
    await writeFile(join(folder, 'mintmark.js'), changedGate)
    if (reporting) await writeFile(join(folder, 'usage.js'), reporting['deploy/nginx/usage.js'] ?? '')
    if (hasLimits) {
      const limits = await readFile(join(deploy, 'nginx/limits.js'), 'utf8')
      const shown = `(1000 * Number(require('fs').readFileSync('${clock}')))`
      await writeFile(join(folder, 'limits.js'), substitute(limits, [['Date.now()', shown]]))
    }
    return ['-p', folder, '-c', join(folder, 'nginx.conf'), '-g', 'daemon off;']
  })
  return { ...gateway, output: () => gateway.output?.() + readFileSync(refusals, 'utf8') }
}
