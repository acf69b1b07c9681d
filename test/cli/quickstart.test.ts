import { once } from 'node:events'
import { chmod, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type ServiceProcess, startProcess } from '../support/service-process.ts'
import { until } from '../support/until.ts'

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname
const ANY_PORTS = Object.fromEntries(
  ['PUBLIC', 'ADMIN', 'GATEWAY', 'GATEWAY_GRPC', 'OPS'].map(name => [`MINTMARK_${name}_PORT`, '0']),
)

let folder: string
const running: ServiceProcess[] = []
const servers: Server[] = []
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mintmark-quickstart-'))
  // As root the database runs as another user, which would otherwise get a folder elsewhere.
  await chmod(folder, 0o755)
})
afterEach(async () => {
  for (const process of running.splice(0)) {
    process.child.kill('SIGTERM')
    await process.exited
  }
  for (const server of servers.splice(0)) server.close()
  await rm(folder, { recursive: true })
})

function quickstart(env: Record<string, string> = {}, ...options: string[]): ServiceProcess {
  const places = { MINTMARK_DATA_DIR: join(folder, 'data'), MINTMARK_KEYS_DIR: join(folder, 'keys') }
  const process = startProcess({ ...places, ...env }, MAIN, 'quickstart', ...options)
  running.push(process)
  return process
}

const serving = (process: ServiceProcess) =>
  until(
    'it serves',
    () => process.output(),
    text => text.includes('Serving until Ctrl-C.'),
    60_000,
  )

/** Binds a port, unless another program has it already. */
async function occupy(port: number): Promise<void> {
  const server = createServer()
  servers.push(server)
  await Promise.race([once(server.listen(port, '127.0.0.1'), 'listening'), once(server, 'error')]).catch(
    () => {},
  )
}

describe('a second quickstart in a folder', () => {
  it('reports in one line that the first is running, and does not mention ports', {
    timeout: 180_000,
  }, async () => {
    const first = quickstart(ANY_PORTS)
    await serving(first)
    for (const port of [8080, 8081, 8082, 8083, 8084]) await occupy(port)
    const second = quickstart()
    expect(await second.exited).toMatchObject({ code: 1 })
    expect(second.output()).toBe(
      `Starting Mintmark on an embedded Postgres …\nmintmark: Mintmark (pid ${first.pid}) already uses ${folder}/data: stop it, or set MINTMARK_DATA_DIR to another directory\n`,
    )
  })
})

describe('a start that fails', () => {
  it('for an expected reason prints one sentence, without a stack', async () => {
    await writeFile(join(folder, 'keys'), '')
    const process = quickstart(ANY_PORTS)
    expect(await process.exited).toMatchObject({ code: 1 })
    expect(process.output()).toMatch(
      /^Starting .*\nmintmark: \S+\/keys cannot be created: a file exists in its place \(EEXIST\)\. Allow .*\n$/,
    )
  })

  it.each([
    ['RangeError', 'new RangeError("a fault of ours")'],
    ['Error', 'new Error("a fault of ours")'],
    ['TypeError', 'new TypeError("a fault of ours")'],
  ])('for a bug (%s) keeps its stack, in the quickstart and in the service', async (name, thrown) => {
    const broken = `data:text/javascript,${encodeURIComponent(`process.getuid = () => { throw ${thrown} }`)}`
    const env = { ...ANY_PORTS, NODE_OPTIONS: `--import=${broken}` }
    const service = startProcess({
      ...env,
      MINTMARK_DATA_DIR: join(folder, 'd'),
      MINTMARK_KEYS_DIR: join(folder, 'k'),
    })
    running.push(service)
    for (const process of [quickstart(env), service]) {
      expect(await process.exited).toMatchObject({ code: 1 })
      expect(process.output()).toMatch(
        new RegExp(`mintmark: ${name}: a fault of ours\\n +at .*\\n +at .*openHome`, 's'),
      )
    }
  })

  it('stops the service after it was ready, and prints the reason', { timeout: 180_000 }, async () => {
    const keyFile = join(folder, 'data', 'quickstart-key')
    await quickstart(ANY_PORTS, '--exit').exited
    await rm(keyFile)
    // A dangling link can be neither read nor written.
    await symlink(join(folder, 'nowhere', 'key'), keyFile)
    const process = quickstart(ANY_PORTS)
    expect(await process.exited).toMatchObject({ code: 1 })
    expect(process.output()).toMatch(
      /mintmark: \S+quickstart-key cannot be written: it does not exist \(ENOENT\)\n$/,
    )
  })
})

it('stops once, and reports it once, however many signals it receives', { timeout: 180_000 }, async () => {
  const process = quickstart(ANY_PORTS)
  await serving(process)
  process.child.kill('SIGINT')
  process.child.kill('SIGTERM')
  process.child.kill('SIGINT')
  expect(await process.exited).toMatchObject({ code: 0 })
  expect(process.output().match(/Stopped\. The data remains/g)).toHaveLength(1)
})
