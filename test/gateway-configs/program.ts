import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { basename, delimiter, isAbsolute, join } from 'node:path'
import { freePort } from '../support/free-port.ts'
import { rawHttp } from '../support/raw-http.ts'
import { until } from '../support/until.ts'
import type { Gateway } from './check-environment.ts'

/** The path of a distribution's gateway, or this path; undefined: not installed. */
function findProgram(name: string): string | undefined {
  if (isAbsolute(name)) return existsSync(name) ? name : undefined
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  return folders.map(folder => join(folder, name)).find(file => existsSync(file))
}

/** The path of a gateway from scripts/install-newer-gateways.sh, whether or not it is installed. */
export function newerProgram(name: string): string {
  const cache = process.env.MINTMARK_CACHE ?? join(homedir(), '.cache', 'mintmark')
  return join(cache, 'debian13', 'bin', name)
}

/** For `Expected.absent`: the program is not installed, and not required. */
export const isAbsent = (name: string): boolean =>
  !findProgram(name) && process.env.MINTMARK_REQUIRE_GATEWAYS !== '1'

/**
 * Runs a gateway until it answers. `prepare` writes its files into a temporary folder, for a free port, and returns the
 * arguments. `before` precedes the request that finds out.
 */
export async function startProgram(
  name: string,
  prepare: (folder: string, port: number) => Promise<string[]>,
  before = '',
): Promise<Gateway> {
  const binary = findProgram(name)
  if (!binary) throw new Error(`there is no ${name}: run \`bash scripts/install-gateways.sh\``)
  const folder = await mkdtemp(join(tmpdir(), `mintmark-${basename(name)}-`))
  // As root its workers run as another user.
  await chmod(folder, 0o755)
  const port = await freePort()
  const child = spawn(binary, await prepare(folder, port), { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = new Promise(resolve => child.once('exit', resolve))
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', chunk => {
      output += chunk
    })
  const stop = async () => {
    child.kill('SIGTERM')
    await ended
    await rm(folder, { recursive: true, force: true })
  }
  try {
    await until(`${name} answers`, () => answers(port, before))
  } catch (error) {
    await stop()
    throw new Error(`${name} did not start:\n${output.slice(-4000)}`, { cause: error })
  }
  return { url: `http://127.0.0.1:${port}`, output: () => output, stop }
}

async function answers(port: number, before: string): Promise<boolean> {
  const request = `${before}GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`
  const { status } = await rawHttp(`http://127.0.0.1:${port}`, request)
  return status > 0
}
