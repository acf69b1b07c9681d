import { createServer, type Server } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { readConfig } from '../../src/config/config.ts'
import { Env } from '../../src/config/env.ts'
import { bindListeners } from '../../src/service/listeners.ts'
import { systemClock } from '../../src/system/clock.ts'
import { createLogger } from '../../src/system/logger.ts'
import { type ServiceProcess, startProcess } from '../support/service-process.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { testEnvironment } from '../support/test-service.ts'

let database: TestDatabase
let taken: Server
let takenPort: string
const processes: ServiceProcess[] = []

beforeAll(async () => {
  database = await createTestDatabase()
  taken = createServer()
  await new Promise<void>(resolve => taken.listen(0, '127.0.0.1', resolve))
  const address = taken.address()
  takenPort = String(typeof address === 'object' && address?.port)
})
afterEach(async () => {
  for (const process of processes.splice(0)) await process.kill()
})
afterAll(async () => {
  await new Promise(resolve => taken.close(resolve))
  await database.drop()
})

// With one set of secrets: another process on the database needs the same.
const environment = testEnvironment()
function start(env: Record<string, string>, ...file: string[]): ServiceProcess {
  const process = startProcess({ ...environment, DATABASE_URL: database.applicationUrl, ...env }, ...file)
  processes.push(process)
  return process
}

describe('a port that is in use', () => {
  const message = (variable: string) => `is in use: set ${variable} to a free port (0: any)`

  it.each([
    'MINTMARK_PUBLIC_PORT',
    'MINTMARK_ADMIN_PORT',
    'MINTMARK_GATEWAY_PORT',
    'MINTMARK_GATEWAY_GRPC_PORT',
    'MINTMARK_OPS_PORT',
  ])('names the variable %s, and no other port stays open', async variable => {
    const config = readConfig(
      new Env({ ...environment, DATABASE_URL: database.applicationUrl, [variable]: takenPort }),
    )
    await expect(
      bindListeners(config, { clock: systemClock, logger: createLogger('silent') }),
    ).rejects.toThrow(message(variable))
  })

  it('ends the process with 1 and that sentence', async () => {
    const process = start({ MINTMARK_GATEWAY_GRPC_PORT: takenPort })
    expect((await process.exited).code).toBe(1)
    expect(process.output()).toContain(`127.0.0.1:${takenPort}`)
    expect(process.output()).toContain(message('MINTMARK_GATEWAY_GRPC_PORT'))
    expect(process.output(), 'no stack for what the operator can cure').not.toMatch(/\n\s+at /)
  })
})

it('an address that this machine does not have ends the process with 1 and the reason, from the source as it is', async () => {
  const process = start({ MINTMARK_HOST: '192.0.2.1' }, 'src/main.ts')
  expect((await process.exited).code).toBe(1)
  expect(process.output()).toMatch(/192\.0\.2\.1:0.*is not an address of this machine/)
})

describe('the start log says what each listener opened, and to whom', () => {
  const listening = (process: ServiceProcess) =>
    Object.fromEntries(
      process
        .logged('listening')
        .map(({ listener, address, reachableFrom, variable }) => [
          listener,
          [String(address).replace(/\d+$/, ''), reachableFrom, variable],
        ]),
    )

  it('nothing to other machines by default', async () => {
    const process = start({})
    await process.ready()
    const closed = (variable: string) => ['127.0.0.1:', 'this machine only', variable]
    expect(listening(process)).toEqual({
      public: closed('MINTMARK_HOST'),
      admin: closed('MINTMARK_ADMIN_HOST'),
      gateway: closed('MINTMARK_GATEWAY_HOST'),
      gatewayGrpc: closed('MINTMARK_GATEWAY_HOST'),
      ops: closed('MINTMARK_OPS_HOST'),
    })
  })

  it('all that MINTMARK_HOST opens but the admin listener, and those closed that have their own', async () => {
    const process = start({ MINTMARK_HOST: '0.0.0.0', MINTMARK_OPS_HOST: '127.0.0.1' })
    const urls = await process.ready()
    const open = (variable: string) => ['0.0.0.0:', 'other machines', variable]
    expect(listening(process)).toMatchObject({
      public: open('MINTMARK_HOST'),
      admin: ['127.0.0.1:', 'this machine only', 'MINTMARK_ADMIN_HOST'],
      gateway: open('MINTMARK_GATEWAY_HOST'),
      gatewayGrpc: open('MINTMARK_GATEWAY_HOST'),
      ops: ['127.0.0.1:', 'this machine only', 'MINTMARK_OPS_HOST'],
    })
    // The addresses are the bound ones, not those by which this machine reaches them.
    expect(urls).toMatchObject({ public: expect.stringMatching(/^http:\/\/0\.0\.0\.0:\d+$/) })
  })
})

describe('a configuration with faults ends the process with 1, before anything listens', () => {
  it('production rejects all development conveniences at once', async () => {
    const process = startProcess({ NODE_ENV: 'production', MINTMARK_PUBLIC_PORT: takenPort })
    processes.push(process)
    expect((await process.exited).code).toBe(1)
    const text = process.output()
    expect(text).toMatch(/DATABASE_URL is required in production/)
    expect(text).toMatch(/MINTMARK_ISSUER is required in production and must begin with https:\/\//)
    expect(text).not.toMatch(/taken|\n\s+at /)
  })

  it('all faults are in one message, without any secret', async () => {
    const secret = 'canary-of-a-root-token'
    const process = start({
      NODE_ENV: 'production',
      MINTMARK_ISSUER: 'http://tokens.example.com',
      MINTMARK_PUBLIC_PORT: '99999',
      MINTMARK_TOKEN_TTL_SECONDS: '15m',
      MINTMARK_PEPPERS: 'p1:short',
      MINTMARK_ROOT_TOKEN: secret,
      MINTMARK_PUBLISH_LEAD_SECONDS: '60',
      LOG_LEVEL: 'loud',
    })
    expect((await process.exited).code).toBe(1)
    const text = process.output()
    for (const variable of [
      'ISSUER',
      'PUBLIC_PORT',
      'TOKEN_TTL_SECONDS',
      'PEPPERS',
      'ROOT_TOKEN',
      'PUBLISH_LEAD_SECONDS',
    ]) {
      expect(text).toContain(`- MINTMARK_${variable} `)
    }
    expect(text).toContain('- LOG_LEVEL ')
    expect(text).not.toContain(secret)
    expect(text).not.toContain('p1:short')
  })
})
