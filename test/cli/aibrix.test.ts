import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { redisCommand } from '../../src/gateway/aibrix-user.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { cliOf, shell } from './mintmark.ts'

/** The output of `mintmark aibrix users`, sent to a real Redis. */
const installed = spawnSync('redis-server', ['--version']).status === 0
const skipped = !installed && process.env.MINTMARK_REQUIRE_GATEWAYS !== '1'

/** More than a page of the admin API. */
const MORE_TENANTS = 99
let service: TestService
let cli: ReturnType<typeof cliOf>
let folder: string
let socket: string
let redis: ChildProcess

beforeAll(async () => {
  if (skipped) return
  if (!installed) throw new Error('MINTMARK_REQUIRE_GATEWAYS=1, and redis-server is not installed')
  service = await startTestService()
  cli = cliOf(service)
  folder = await mkdtemp(join(tmpdir(), 'mintmark-redis-'))
  socket = join(folder, 'redis.sock')
  redis = spawn('redis-server', ['--port', '0', '--unixsocket', socket, '--save', '', '--dir', folder])
  await until(
    'Redis answers',
    () => ask('PING'),
    answer => answer === 'PONG',
  )
  await service.admin('POST', '/tenants', {
    id: 'acme',
    labels: { 'aibrix-rpm': '600', 'aibrix-tpm': '900000', team: 'core' },
  })
  await service.admin('PUT', '/tiers/limited', {
    priority: 0,
    limits: { requests_per_minute: 50, tokens_per_minute: 7_000 },
  })
  await service.admin('POST', '/tenants', {
    ...{ id: 'limited', tier: 'limited', allowed_tiers: ['limited'] },
    limits: { requests_per_minute: 80 },
  })
  await service.admin('POST', '/tenants', { id: 'blue', labels: { 'aibrix-rpm': '0' } })
  await service.admin('POST', '/tenants/blue/suspend')
  for (let n = 0; n < MORE_TENANTS; n += 1) await service.admin('POST', '/tenants', { id: `tenant-${n}` })
})
afterAll(async () => {
  await service?.stop()
  if (!redis) return
  const ended = new Promise(resolve => redis.once('exit', resolve))
  redis.kill('SIGTERM')
  await ended
  await rm(folder, { recursive: true })
})

function ask(...command: string[]): string {
  return spawnSync('redis-cli', ['-s', socket, ...command], { encoding: 'utf8' }).stdout.trim()
}

const users = (options: string) =>
  shell(`mintmark aibrix users ${options} | redis-cli -e -s ${socket}`, { env: cli.env })
const stored = (name: string): unknown => JSON.parse(ask('GET', `aibrix-users/${name}`))

describe.skipIf(skipped)('mintmark aibrix users', () => {
  it('prints commands that create a user for every tenant, also suspended ones, with the limits of its labels, its own or those of its tier', async () => {
    const { code, stdout, stderr } = await users('')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toBe('OK\n'.repeat(MORE_TENANTS + 3))
    expect(ask('DBSIZE')).toBe(`${MORE_TENANTS + 3}`)
    expect(stored('acme')).toEqual({ name: 'acme', rpm: 600, tpm: 900_000 })
    expect(stored('blue')).toEqual({ name: 'blue', rpm: 0, tpm: 0 })
    expect(stored('limited')).toEqual({ name: 'limited', rpm: 80, tpm: 7_000 })
    expect(stored(`tenant-${MORE_TENANTS - 1}`)).toMatchObject({ rpm: 0, tpm: 0 })
  })

  it('replaces them when run again with other default limits', async () => {
    expect(await users('--commands --rpm 60 --tpm 5000')).toMatchObject({ code: 0 })
    expect(stored('tenant-7')).toEqual({ name: 'tenant-7', rpm: 60, tpm: 5000 })
    expect(stored('blue')).toEqual({ name: 'blue', rpm: 0, tpm: 5000 })
    expect(stored('acme')).toEqual({ name: 'acme', rpm: 600, tpm: 900_000 })
    expect(ask('DBSIZE')).toBe(`${MORE_TENANTS + 3}`)
  })

  it('--json prints the bodies that the metadata service of AIBrix expects', async () => {
    const { code, stdout } = await cli.attempt(['aibrix', 'users', '--json', '--rpm', '60'])
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toHaveLength(MORE_TENANTS + 3)
    expect(JSON.parse(stdout)[0]).toEqual({ name: 'acme', rpm: 600, tpm: 900_000 })
  })

  it('names every label that is not a limit, and prints nothing else', async () => {
    await service.admin('PATCH', '/tenants/blue', { labels: { 'aibrix-rpm': '-1' } })
    await service.admin('PATCH', '/tenants/acme', { labels: { 'aibrix-tpm': 'many' } })
    const { code, stdout, stderr } = await cli.attempt(['aibrix', 'users'])
    expect({ code, stdout }).toEqual({ code: 5, stdout: '' })
    expect(stderr).toContain('tenant blue: the label aibrix-rpm must be a whole number, 0 or more, got "-1"')
    expect(stderr).toContain('tenant acme: the label aibrix-tpm')
  })

  it.each([
    ['a negative limit', ['--rpm=-1']],
    ['a limit that is no number', ['--tpm', 'many']],
    ['both forms', ['--json', '--commands']],
  ])('rejects %s', async (_, options) => {
    expect(await cli.attempt(['aibrix', 'users', ...options])).toMatchObject({ code: 2, stdout: '' })
  })

  it.each(['a b', `'"\\`, 'a\nFLUSHALL', '$(id)', 'ü\u0000'])('quotes the name %j as one argument', name => {
    const input = `${redisCommand({ name, rpm: 1, tpm: 2 })}\n`
    expect(spawnSync('redis-cli', ['-s', socket], { input, encoding: 'utf8' }).stdout).toBe('OK\n')
    const found = spawnSync('redis-cli', ['-s', socket, '-x', 'GET'], { input: `aibrix-users/${name}` })
    expect(JSON.parse(found.stdout.toString('utf8'))).toEqual({ name, rpm: 1, tpm: 2 })
  })
})
