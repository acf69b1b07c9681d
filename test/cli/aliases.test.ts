import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestService, type TestService } from '../support/test-service.ts'
import { cliOf } from './mintmark.ts'

let service: TestService
let cli: ReturnType<typeof cliOf>
beforeAll(async () => {
  service = await startTestService()
  cli = cliOf(service)
  await service.admin('POST', '/tenants', { id: 'short' })
})
afterAll(() => service.stop())

describe('names of other command lines', () => {
  it.each([
    [['tenants', 'ls', '-q'], 'short'],
    [['keys', 'ls', 'short', '-o', 'json'], '[]'],
    [['tenant', 'show', 'short', '-q'], 'short'],
    [['tenant', 'describe', 'short', '-q'], 'short'],
    [['identity', 'ls', '-o', 'json'], '[]'],
    [['tenant', 'new', 'made', '-q'], 'made'],
    [['tenants', 'add', 'made-2', '-q'], 'made-2'],
    [['tenant', 'edit', 'made', '--name', 'x', '-q'], 'made'],
    [['tenants', 'rm', 'made', '-q'], 'made'],
    [['help', 'tenants', 'ls'], 'Usage: mintmark tenant list'],
  ])('%j', async (args, words) => {
    expect(await cli.run(...args)).toContain(words)
  })

  it.each([
    [['key', 'delete', 'x'], 'mintmark key revoke'],
    [['key', 'suspend', 'x'], 'mintmark key disable'],
    [['tenant', 'disable', 'x'], 'mintmark tenant suspend'],
    [['tier', 'create', 'x'], 'mintmark tier set'],
    [['tiers', 'update', 'x'], 'mintmark tier set'],
    [['logout'], 'mintmark context'],
    [['auth'], 'mintmark login'],
  ])('%j is not done, but answered with the command that is meant', async (args, words) => {
    const ended = await cli.attempt(args)
    expect(ended).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining(`Did you mean "${words}"?`),
    })
  })

  it('an argument that looks like another name is left alone', async () => {
    expect(await cli.attempt(['tenant', 'get', 'ls'])).toMatchObject({
      code: 4,
      stderr: expect.stringContaining('"ls"'),
    })
  })

  it('help shows our names only', async () => {
    const [, commands = ''] = (await cli.run('tenant', '--help')).split('Commands:')
    const names = [...commands.matchAll(/^ {2}([a-z-]+)/gm)].map(([, name]) => name)
    expect(names).toEqual(['create', 'list', 'get', 'update', 'suspend', 'resume', 'delete'])
  })
})

/** The table of docs/guides/cli.md: what people type first, and what they get. */
const guide = await readFile(new URL('../../docs/guides/cli.md', import.meta.url), 'utf8')
const rows = [...guide.matchAll(/^\| [^|]+ \| `mintmark ([^`]+)` \| (runs|suggests) `([^`]+)`/gm)].map(
  ([, typed = '', verb = '', meant = '']) => ({ typed, verb, meant }),
)

describe('docs/guides/cli.md: what people type first', () => {
  it('has the table', () => {
    expect(rows.length).toBeGreaterThan(15)
  })

  it.each(rows)('$typed: $verb $meant', async ({ typed, verb, meant }) => {
    const words = (line: string) => line.replaceAll('acme', 'short').split(' ')
    const ended = await cli.attempt(words(typed))
    if (verb === 'suggests') {
      expect(ended).toMatchObject({ code: 2, stdout: '' })
      expect(ended.stderr).toMatch(new RegExp(`Did you mean "?${meant.replaceAll(/[-[\]]/g, '\\$&')}"?\\?`))
      return
    }
    const [, ...ours] = words(meant)
    expect(ended).toEqual(await cli.attempt(ours))
    expect(ended.code).toBe(0)
  })
})
