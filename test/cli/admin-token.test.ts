import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestService, type TestService } from '../support/test-service.ts'
import { cliOf, mintmark } from './mintmark.ts'

const SECRET = /^mma_[0-9A-Za-z]{16}_[0-9A-Za-z]{49}$/

let service: TestService
let cli: ReturnType<typeof cliOf>
beforeAll(async () => {
  service = await startTestService()
  cli = cliOf(service)
  await service.admin('POST', '/tenants', { id: 'acme' })
})
afterAll(() => service.stop())

/** With another token than root, in MINTMARK_ADMIN_TOKEN. */
const as = (token: string, ...args: string[]) =>
  mintmark(args, { env: { ...cli.env, MINTMARK_ADMIN_TOKEN: token } })

describe('mintmark admin-token', () => {
  it('create prints the token alone on standard output, once, and it works in MINTMARK_ADMIN_TOKEN', async () => {
    const made = await cli.attempt([
      'admin-token',
      'create',
      'tenant-admin',
      '--tenant',
      'acme',
      '--name',
      'ci',
    ])
    expect(made.code).toBe(0)
    const token = made.stdout.trim()
    expect(token).toMatch(SECRET)
    expect(made.stderr).toMatch(
      /^Created adm_\w+ with the role tenant-admin\. It expires .*cannot be shown again\.\n$/,
    )
    const listed = await as(token, 'tenant', 'list', '-q')
    expect(listed).toEqual({ code: 0, stdout: 'acme\n', stderr: '' })
    expect(await as(token, 'tenant', 'suspend', 'acme')).toMatchObject({ code: 3, stdout: '' })
    expect(await as(token, 'admin-token', 'list', '-o', 'json')).toMatchObject({
      stdout: expect.not.stringContaining(token),
    })
  })

  it('names the option of a fault', async () => {
    const refused = await cli.attempt(['admin-token', 'create', 'operator', '--tenant', 'acme'])
    expect(refused).toMatchObject({ code: 5, stderr: expect.stringContaining('--tenant (/tenant) must') })
  })

  it('list, get and revoke --cascade', async () => {
    const inMonth = new Date(Date.now() + 30 * 86_400_000).toISOString()
    const owner = await cli.json('admin-token', 'create', 'owner', '--expires-at', inMonth)
    const child = (await as(owner.secret, 'admin-token', 'create', 'auditor', '-q')).stdout.trim()
    expect(await cli.json('admin-token', 'get', owner.id)).toMatchObject({ role: 'owner', state: 'active' })
    expect((await cli.run('admin-token', 'list', '-q')).split('\n')).toContain(owner.id)
    const revoked = await cli.json('admin-token', 'revoke', owner.id, '--reason', 'left', '--cascade')
    expect(revoked).toMatchObject({ state: 'revoked', revoked_reason: 'left' })
    expect(await as(child, 'tenant', 'list')).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('MINTMARK_ADMIN_TOKEN'),
    })
  })
})
