import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { cliOf, mintmark } from './mintmark.ts'
import { lacksShells, Screen, type ShellName } from './shells.ts'

let service: TestService
let cli: ReturnType<typeof cliOf>
beforeAll(async () => {
  service = await startTestService()
  cli = cliOf(service)
  await service.admin('PUT', '/models/llama-3-8b', {})
  await service.admin('PUT', '/adapters/org%2Fsql@2', { base_model: 'llama-3-8b' })
  for (const id of ['acme', 'acorn', 'blue'])
    await service.admin('POST', '/tenants', { id, name: `Tenant ${id}` })
})
afterAll(() => service.stop())

/** The words that may stand for the last one. */
async function words(...line: string[]): Promise<string[]> {
  const stdout = await cli.run('completion', 'bash', '--', ...line)
  return stdout.split('\n').flatMap(each => (each === '' ? [] : [each.split('\t')[0] ?? '']))
}

describe('mintmark completion', () => {
  it.each([
    [['ten'], ['tenant']],
    [['usage'], ['usage', 'usage-reporter']],
    [['help', 'tok'], ['token']],
    [
      ['key', 're'],
      ['revoke', 'revoke-secret'],
    ],
    [['keys', 'rot'], ['rotate']],
    [
      ['tenant', 'create', 'x', '--tok'],
      ['--token-ttl-seconds', '--tokens-per-minute', '--tokens-per-day'],
    ],
    [['tenant', 'create', 'x', '--tier', 'standard', '--ti'], []],
    [['tenant', 'create', 'x', '--allow-tier', 'batch', '--allow'], ['--allow-tier']],
    [
      ['key', 'rotate', 'k', '--replace', ''],
      ['oldest', 'newest'],
    ],
    [
      ['key', 'rotate', 'k', '--replace='],
      ['--replace=oldest', '--replace=newest'],
    ],
    [['tenant', 'list', '-o', 'j'], ['json']],
    [['tenant', 'update', 'x', '--unset', 'mod'], ['models']],
    [
      ['admin-token', 'create', 'o'],
      ['owner', 'operator'],
    ],
    [
      ['completion', ''],
      ['bash', 'zsh', 'fish'],
    ],
    [
      ['tenant', 'get', 'a'],
      ['acorn', 'acme'],
    ],
    [['tenant', 'get', '--output', 'json', 'b'], ['blue']],
    [['key', 'create', 'acme', '--adapter', 'org'], ['org/sql@2']],
    [['key', 'create', 'acme', '--tier', 'stand'], ['standard']],
    [['model', 'get', ''], ['llama-3-8b']],
    [['key', 'inspect', ''], [':files']],
    [['token', 'get', '--key-file', 'x'], [':files']],
    [['tenant', 'get', 'acme', ''], []],
    [['tenant', 'create', '--', '--na'], []],
  ])('%j', async (line, expected) => {
    expect((await words(...line)).toSorted()).toEqual(expected.toSorted())
  })

  it('has every command, and no option without a meaning', async () => {
    const all = await words('')
    expect(all).toEqual(
      expect.arrayContaining(['serve', 'tenant', 'key', 'login', 'doctor', 'completion', 'help']),
    )
    const lines = (await cli.run('completion', 'zsh', '--', 'key', 'create', 'x', '-')).trim().split('\n')
    for (const line of lines) expect(line).toMatch(/^--[a-z-]+\t\S/)
  })

  it('shows what a name means', async () => {
    expect(await cli.run('completion', 'fish', '--', 'tenant', 'get', 'acm')).toBe(
      'acme\tTenant acme, active\n',
    )
  })

  it('without a token, and without a service, ends at once with nothing', async () => {
    const none = { MINTMARK_URL: service.service.urls.admin }
    const closed = { ...cli.env, MINTMARK_URL: `http://127.0.0.1:${await freePort()}` }
    for (const env of [none, closed])
      expect(await mintmark(['completion', 'bash', '--', 'tenant', 'get', ''], { env })).toEqual({
        code: 0,
        stdout: '',
        stderr: '',
      })
  })

  it('shows no name that could change the screen or the command line', async () => {
    const names = await cli.run('completion', 'bash', '--', 'tenant', 'get', '')
    expect(names).toMatch(/^[\x20-\x7e\t\n]+$/)
  })
})

/** Typed keys, and what the screen shows then. */
const TYPED: Record<ShellName, [keys: string[], shown: RegExp][]> = {
  bash: [
    [['mintmark sign', 'Tab'], /^\$ mintmark signing-key$/m],
    [['mintmark tenant ', 'Tab', 'Tab'], /create +delete +get +list +resume +suspend +update/],
    [['mintmark tenant get ', 'Tab', 'Tab'], /^acme +acorn +blue$/m],
    [['mintmark tenant get blu', 'Tab'], /^\$ mintmark tenant get blue$/m],
    [['mintmark adapter get org/sq', 'Tab'], /^\$ mintmark adapter get org\/sql@2$/m],
    [['mintmark key rotate k --replace=o', 'Tab'], /^\$ mintmark key rotate k --replace=oldest$/m],
    [['mintmark key inspect /etc/hostn', 'Tab'], /^\$ mintmark key inspect \/etc\/hostname$/m],
  ],
  zsh: [
    [['mintmark sign', 'Tab'], /^\$ mintmark signing-key$/m],
    [['mintmark tenant ', 'Tab'], /^create +-- create a tenant$/m],
    [['mintmark tenant get ', 'Tab'], /^blue +-- Tenant blue, active$/m],
    [['mintmark tenant get blu', 'Tab'], /^\$ mintmark tenant get blue$/m],
    [['mintmark adapter get org/sq', 'Tab'], /^\$ mintmark adapter get org\/sql@2$/m],
    [['mintmark key inspect /etc/hostn', 'Tab'], /^\$ mintmark key inspect \/etc\/hostname$/m],
  ],
  fish: [
    [['mintmark sign', 'Tab'], /^\$ mintmark signing-key$/m],
    [['mintmark tenant ', 'Tab'], /delete +\(delete a tenant permanently\)/],
    [['mintmark tenant get ', 'Tab'], /blue +\(Tenant blue, active\)/],
    [['mintmark tenant get blu', 'Tab'], /^\$ mintmark tenant get blue$/m],
    [['mintmark adapter get org/sq', 'Tab'], /^\$ mintmark adapter get org\/sql@2$/m],
    [['mintmark key inspect /etc/hostn', 'Tab'], /^\$ mintmark key inspect \/etc\/hostname$/m],
  ],
}

describe.skipIf(lacksShells())('in a real shell', () => {
  it.each(['bash', 'zsh', 'fish'] as const)(
    '%s completes commands, names of the service and files',
    async shell => {
      const screen = await Screen.open(shell, cli.env)
      try {
        for (const [keys, shown] of TYPED[shell]) {
          screen.type(...keys)
          await screen.until(shown)
          screen.type('C-u')
        }
      } finally {
        screen.close()
      }
    },
  )

  it('asks for the name before a deletion, on the terminal', async () => {
    const { MINTMARK_YES: _confirmed, ...env } = cli.env
    const screen = await Screen.open('bash', env)
    try {
      screen.type('mintmark tenant delete blue', 'Enter')
      await screen.until(/Type "blue" to confirm:/)
      screen.type('blu', 'Enter')
      await screen.until(/not confirmed: nothing was done/)
      screen.type('C-l', 'mintmark tenant delete blue', 'Enter')
      await screen.until(/Type "blue" to confirm:/)
      screen.type('blue', 'Enter')
      await screen.until(/Deleted the tenant blue\./)
    } finally {
      screen.close()
    }
  })

  it('hides the token at login', async () => {
    const { MINTMARK_URL = '' } = cli.env
    const screen = await Screen.open('bash', {})
    try {
      screen.type(`mintmark login ${MINTMARK_URL} --context lab`, 'Enter')
      await screen.until(/Admin token \(not shown\):/)
      screen.type(service.rootToken, 'Enter')
      const shown = await screen.until(/Logged in to \S+ as root \(root\)/)
      expect(shown).not.toContain(service.rootToken)
      screen.type('C-l', 'mintmark whoami', 'Enter')
      await screen.until(/^context +lab$[\s\S]+^role +root$/m)
    } finally {
      screen.close()
    }
  })
})
