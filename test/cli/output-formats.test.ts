import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestService, type TestService } from '../support/test-service.ts'
import { cliOf } from './mintmark.ts'

let service: TestService
let cli: ReturnType<typeof cliOf>
beforeAll(async () => {
  service = await startTestService()
  cli = cliOf(service)
})
afterAll(() => service.stop())

describe('output', () => {
  it('of a change is one line on standard error; --verbose adds the object', async () => {
    const short = await cli.attempt(['tenant', 'create', 'short'])
    expect(short).toEqual({
      code: 0,
      stdout: '',
      stderr: 'Created the tenant short. Its first key: mintmark key create short\n',
    })
    const whole = await cli.attempt(['tenant', 'update', 'short', '--name', 'Short Ltd', '--verbose'])
    expect(whole).toMatchObject({ code: 0, stderr: 'Updated the tenant short.\n' })
    expect(whole.stdout).toMatch(/^name +Short Ltd$/m)
  })

  it('-o yaml is the object of -o json, and -o name is -q', async () => {
    const { parse } = await import('yaml')
    const yaml = await cli.run('tenant', 'get', 'short', '-o', 'yaml')
    expect(parse(yaml)).toEqual(await cli.json('tenant', 'get', 'short'))
    expect(await cli.run('tenant', 'get', 'short', '-o', 'name')).toBe('short\n')
    expect(await cli.run('tenant', 'get', 'short', '-q')).toBe('short\n')
  })

  it('-o yaml shows no control character of an object', async () => {
    await service.admin('POST', '/tenants', { id: 'odd', name: 'right\u202eleft', description: 'a: b # c' })
    const { parse } = await import('yaml')
    const yaml = await cli.run('tenant', 'get', 'odd', '-o', 'yaml')
    expect(yaml).not.toContain('\u202e')
    expect(parse(yaml)).toMatchObject({ name: 'right\u202eleft', description: 'a: b # c' })
  })

  it('--field prints one value, of each item of a list', async () => {
    await cli.run('tenant', 'update', 'short', '--tokens-per-day', '9', '--label', 'team=a')
    expect(await cli.run('tenant', 'get', 'short', '--field', 'limits.tokens_per_day')).toBe('9\n')
    expect(await cli.run('tenant', 'get', 'short', '--field', 'labels')).toBe('{\n  "team": "a"\n}\n')
    expect(await cli.run('tenant', 'get', 'short', '--field', 'limits.tokens_per_minute')).toBe('\n')
    const all = await cli.run('tenant', 'list', '--field', 'id')
    expect(all.trim().split('\n')).toContain('short')
    const secret = await cli.run('key', 'create', 'short', '--field', 'secret')
    expect(secret).toMatch(/^mmk_\w+\n$/)
  })

  it.each(['nope', 'limits.nope', 'id.length', 'constructor', 'labels.__proto__'])(
    '--field %s does not exist',
    async path => {
      const ended = await cli.attempt(['tenant', 'get', 'short', '--field', path])
      expect(ended).toMatchObject({ code: 4, stdout: '', stderr: expect.stringContaining('has no field') })
    },
  )

  it.each([
    'tenant update fields --name n',
    'tenant suspend fields',
    'tenant resume fields',
    'key get KEY',
    'key update KEY --name n',
    'key disable KEY',
    'key enable KEY',
    'key confirm-secret KEY PENDING',
    'key revoke-secret KEY PENDING',
    'key revoke KEY',
    'key list fields',
    'tenant list',
    'signing-key list',
    'tier set gold --priority 1',
    'tier get gold',
    'installation get',
    'installation update --max-live-keys-per-tenant 100',
    'signing-key rotate',
    'whoami',
    'token revoke --key KEY',
    'explain KEY',
  ])('--field with a name that the result of "%s" does not have is an error', async line => {
    await service.admin('POST', '/tenants', { id: 'fields' })
    const { id } = (await service.admin('POST', '/tenants/fields/keys', {})).body
    const rotation = { confirm_within_seconds: 600 }
    const pending = (await service.admin('POST', `/keys/${id}/rotate`, rotation)).body.secret_id
    const args = line.replace('KEY', id).replace('PENDING', pending).split(' ')
    expect(await cli.attempt([...args, '--field', 'nope'])).toMatchObject({
      code: 4,
      stdout: '',
      stderr: expect.stringContaining('has no field "nope"'),
    })
  })

  it('a new secret that --field misses is reported with its cure', async () => {
    const ended = await cli.attempt(['key', 'create', 'short', '--field', 'secrett'])
    expect(ended).toMatchObject({ code: 1, stdout: '' })
    expect(ended.stderr).toMatch(
      /has no field "secrett"[\s\S]+Revoke it: mintmark key revoke-secret key_\w+ sec_\w+/,
    )
  })
})
