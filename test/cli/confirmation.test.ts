import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createProgram } from '../../src/cli/program.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { cliOf, mintmark } from './mintmark.ts'
import { atTerminal } from './terminal-streams.ts'

let service: TestService
/** Without MINTMARK_YES. */
let env: Record<string, string>
let cli: ReturnType<typeof cliOf>
beforeAll(async () => {
  service = await startTestService()
  cli = cliOf(service)
  const { MINTMARK_YES: _confirmed, ...others } = cli.env
  env = others
})
afterAll(() => service.stop())

const stateOf = async (key: string) => (await service.admin('GET', `/keys/${key}`)).body.state

async function newKey(tenant: string): Promise<{ id: string; secret_id: string }> {
  await service.admin('POST', '/tenants', { id: tenant })
  return (await service.admin('POST', `/tenants/${tenant}/keys`, {})).body
}

describe('what cannot be undone', () => {
  /** The commands, with a name that no other test uses. */
  const IRREVERSIBLE = [
    ['tenant', 'delete', 'gone'],
    ['key', 'revoke', 'key_0000000000000000'],
    ['key', 'revoke-secret', 'key_0000000000000000', 'sec_0000000000000000'],
    ['key', 'bulk-revoke', '--tenant', 'gone'],
    ['admin-token', 'revoke', 'adm_0000000000000000'],
    ['signing-key', 'revoke', 'dGhpcyBpcyBub3QgYSBrZXksIG9ubHkgYW4gZXhhbXA'],
    ['token', 'revoke', '--tenant', 'gone'],
    ['usage-reporter', 'delete', 'rep_0000000000000000'],
    ['usage-reporter', 'void', 'rep_0000000000000000', '--since', '1h', '--reason', 'x'],
    ['usage-reporter', 'close-month', '2026-01'],
    ['audit', 'prune', '--older-than-days', '400d'],
  ]

  it.each(IRREVERSIBLE.map(args => [args]))('%j sends nothing without a terminal and --yes', async args => {
    // Nothing listens there: a request would end with 6.
    const closed = { ...env, MINTMARK_URL: 'http://127.0.0.1:1' }
    const ended = await mintmark(args, { env: closed })
    expect(ended).toMatchObject({ code: 2, stdout: '' })
    expect(ended.stderr).toMatch(/^mintmark: not confirmed: nothing was done\. This .+ add --yes\.\n$/)
  })

  it('is every command that has --yes, except "seal", which asks for it always, and "apply", which asks for plans', () => {
    const groups = createProgram({}).commands
    const withYes = groups.flatMap(group =>
      [group, ...group.commands]
        .filter(command => command.options.some(({ long }) => long === '--yes'))
        .map(command => (command === group ? [group.name()] : [group.name(), command.name()]).join(' ')),
    )
    const tested = IRREVERSIBLE.map(([noun, verb]) => `${noun} ${verb}`)
    expect(withYes.filter(name => name !== 'seal' && name !== 'apply').toSorted()).toEqual(tested.toSorted())
  })

  it.each([['--yes'], ['-y']])('is done with %s', async flag => {
    const { id } = await newKey(`with${flag.replaceAll('-', '')}`)
    expect(await mintmark(['key', 'revoke', id, flag], { env })).toEqual({
      code: 0,
      stdout: '',
      stderr: `Revoked ${id}, and its issued tokens.\n`,
    })
    expect(await stateOf(id)).toBe('revoked')
  })

  it('is done with MINTMARK_YES=1, and another value is a fault', async () => {
    const { id } = await newKey('variable')
    const other = await mintmark(['key', 'revoke', id], { env: { ...env, MINTMARK_YES: 'true' } })
    expect(other).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('MINTMARK_YES must be 1, or unset'),
    })
    expect(await stateOf(id)).toBe('active')
    const done = await mintmark(['key', 'revoke', id], { env: { ...env, MINTMARK_YES: '1' } })
    expect(done.code).toBe(0)
  })

  it('is asked about on a terminal, and done when the name is typed', async () => {
    await newKey('typed')
    const wrong = await atTerminal(['tenant', 'delete', 'typed', '--cascade'], { env, typed: ['type'] })
    expect(wrong).toMatchObject({ code: 2, stdout: '' })
    expect(wrong.stderr).toContain(
      'This deletes the tenant typed, and revokes its keys; the id is never reused. It cannot be undone.\nType "typed" to confirm: ',
    )
    expect(wrong.stderr).toContain('not confirmed: nothing was done.')
    expect((await service.admin('GET', '/tenants/typed')).status).toBe(200)
    const left = await atTerminal(['tenant', 'delete', 'typed', '--cascade'], { env })
    expect(left).toMatchObject({ code: 2, stderr: expect.stringContaining('not confirmed') })
    const right = await atTerminal(['tenant', 'delete', 'typed', '--cascade'], { env, typed: ['typed'] })
    expect(right).toMatchObject({ code: 0, stderr: expect.stringContaining('Deleted the tenant typed.\n') })
    expect((await service.admin('GET', '/tenants/typed')).status).toBe(404)
  })

  it('bulk-revoke counts before it asks, and asks nothing when no key matches', async () => {
    const { id } = await newKey('many')
    const args = ['key', 'bulk-revoke', '--tenant', 'many']
    const asked = await atTerminal(args, { env, typed: ['no'] })
    expect(asked.stderr).toContain(
      'Would revoke 1. Their issued tokens are revoked too. It cannot be undone.',
    )
    expect(await stateOf(id)).toBe('active')
    expect(await atTerminal(args, { env, typed: ['revoke'] })).toMatchObject({ code: 0 })
    expect(await stateOf(id)).toBe('revoked')
    expect(await atTerminal(args, { env })).toMatchObject({ code: 0, stderr: 'No keys that match.\n' })
  })

  it('a dry run asks nothing', async () => {
    await newKey('rehearsed')
    const args = ['tenant', 'delete', 'rehearsed', '--cascade', '--dry-run']
    expect(await mintmark(args, { env })).toMatchObject({ code: 0 })
  })
})
