import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { chmod, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { bundled } from '../support/bundled-source.ts'
import { type ServiceProcess, startProcess } from '../support/service-process.ts'
import { until } from '../support/until.ts'

const ANY_PORTS = Object.fromEntries(
  ['PUBLIC', 'ADMIN', 'GATEWAY', 'GATEWAY_GRPC', 'OPS'].map(name => [`MINTMARK_${name}_PORT`, '0']),
)

/** Has a database and keys in it: a quickstart has been here. */
let folder: string
/** Of one test, and empty. */
let empty: string
const running: ServiceProcess[] = []
const servers: Server[] = []

beforeAll(async () => {
  folder = await newFolder()
  const first = quickstart(ANY_PORTS, '--exit')
  expect(await first.exited, first.output()).toMatchObject({ code: 0 })
})
beforeEach(async () => {
  empty = await newFolder()
})
afterEach(async () => {
  for (const process of running.splice(0)) {
    process.child.kill('SIGTERM')
    await process.exited
  }
  for (const server of servers.splice(0)) server.close()
  await rm(empty, { recursive: true })
})
afterAll(() => rm(folder, { recursive: true }))

async function newFolder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'mintmark-quickstart-'))
  // As root the database runs as another user, who would otherwise be given a folder elsewhere.
  await chmod(path, 0o755)
  return path
}

const placesIn = (path: string) => ({
  MINTMARK_DATA_DIR: join(path, 'data'),
  MINTMARK_KEYS_DIR: join(path, 'keys'),
})

function quickstart(env: Record<string, string> = {}, ...options: string[]): ServiceProcess {
  const quick = { ...placesIn(folder), MINTMARK_DRAIN_DELAY_SECONDS: '0' }
  const process = startProcess({ ...quick, ...env }, bundled('cli'), 'quickstart', ...options)
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
async function occupy(port: number, host = '127.0.0.1'): Promise<void> {
  const server = createServer()
  servers.push(server)
  await Promise.race([once(server.listen(port, host), 'listening'), once(server, 'error')]).catch(() => {})
}

it('a second quickstart in a folder reports in one line that the first is running; the first stops once, however many signals it receives', {
  timeout: 180_000,
}, async () => {
  const first = quickstart(ANY_PORTS)
  await serving(first)
  for (const port of [8080, 8081, 8082, 8083, 8084]) await occupy(port)
  const second = quickstart()
  expect(await second.exited).toMatchObject({ code: 1 })
  // Of the ports it says nothing: they are not the reason.
  expect(second.output()).toBe(
    `Starting Mintmark on an embedded Postgres …\nmintmark: Mintmark (pid ${first.pid}) already uses ${folder}/data: stop it, or set MINTMARK_DATA_DIR to another directory\n`,
  )
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGINT'] as const) first.child.kill(signal)
  expect(await first.exited).toMatchObject({ code: 0 })
  expect(first.output().match(/Stopped\. The data remains/g)).toHaveLength(1)
})

it('takes the ports of the README where they are free, and another for each that is not', {
  timeout: 180_000,
}, async () => {
  // An address of its own: other programs may have these ports at the usual one.
  const host = `127.${[0, 0, 0].map(() => randomInt(1, 255)).join('.')}`
  await occupy(8081, host)
  const process = quickstart({ MINTMARK_HOST: host }, '--exit')
  expect(await process.exited, process.output()).toMatchObject({ code: 0 })
  const ready = /ready: tokens and JWKS on (\S+), admin API on (\S+)/.exec(process.output())
  expect(ready?.[1]).toBe(`http://${host}:8080`)
  expect(ready?.[2]).not.toBe(`http://${host}:8081`)
  expect(process.output().match(/port \d+ is in use.*/g)).toEqual([
    'port 8081 is in use, so another one is used: adapt the commands of the README',
  ])
})

describe('a start that fails', () => {
  it('for a reason that was foreseen is one sentence, without a stack', async () => {
    await writeFile(join(empty, 'keys'), '')
    const process = quickstart({ ...ANY_PORTS, ...placesIn(empty) })
    expect(await process.exited).toMatchObject({ code: 1 })
    expect(process.output()).toMatch(
      /^Starting .*\nmintmark: \S+\/keys cannot be created: a file exists in its place \(EEXIST\)\. Allow .*\n$/,
    )
  })

  it('for a fault of ours keeps its stack, in the quickstart and in the service', async () => {
    const broken = `data:text/javascript,${encodeURIComponent('process.getuid = () => { throw new Error("a fault of ours") }')}`
    const env = { ...ANY_PORTS, ...placesIn(empty), NODE_OPTIONS: `--import=${broken}` }
    const service = startProcess(env)
    running.push(service)
    for (const process of [quickstart(env), service]) {
      expect(await process.exited).toMatchObject({ code: 1 })
      expect(process.output()).toMatch(/mintmark: Error: a fault of ours\n +at .*\n +at .*openHome/s)
    }
  })

  it('stops the service after it was ready, and prints the reason', { timeout: 180_000 }, async () => {
    const keyFile = join(folder, 'data', 'quickstart-key')
    await rm(keyFile)
    // A dangling link can be neither read nor written.
    await symlink(join(folder, 'nowhere', 'key'), keyFile)
    const process = quickstart(ANY_PORTS)
    expect(await process.exited).toMatchObject({ code: 1 })
    expect(process.output()).toMatch(
      /mintmark: \S+quickstart-key cannot be written: it does not exist \(ENOENT\)\n$/,
    )
    await rm(keyFile)
  })
})

describe('a call of its own that is answered 503', () => {
  /** Answers the first `count` calls to each URL of the admin API and the token endpoint 503, in place of the service. */
  function unavailable(count: number, retryAfter: number) {
    const script = `
      const real = fetch, left = new Map()
      globalThis.fetch = (url, init) => {
        const isCall = /\\/(admin|oauth)\\//.test(url)
        const count = left.get(url) ?? ${count}
        left.set(url, count - 1)
        if (!isCall || count <= 0) return real(url, init)
        const headers = { 'retry-after': '${retryAfter}', 'content-type': 'application/problem+json' }
        return Promise.resolve(new Response('{"detail":"The database does not answer."}', { status: 503, headers }))
      }`
    return { ...ANY_PORTS, NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(script)}` }
  }

  it('is repeated, each of them', async () => {
    const process = quickstart(unavailable(2, 0), '--exit')
    expect(await process.exited, process.output()).toMatchObject({ code: 0 })
    expect(process.output()).toContain('Verified with ')
  })

  it('and stays so ends the quickstart with one sentence and the cure', async () => {
    const process = quickstart(unavailable(Infinity, 60), '--exit')
    expect(await process.exited).toMatchObject({ code: 1 })
    expect(process.output()).toMatch(
      /\nmintmark: PUT \/admin\/v1\/models\/\S+ is answered 503 \(The database does not answer\.\), .*: run the quickstart again, .*\n$/,
    )
  })
})
