import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestService, type TestService } from '../../support/test-service.ts'
import { mintmark } from '../mintmark.ts'
import { applying } from './applying.ts'

/** An operator changes the name of the set in the files. */

let service: TestService
let at: ReturnType<typeof applying>
beforeAll(async () => {
  service = await startTestService()
  at = applying(service)
})
afterAll(() => service.stop())

const textOf = (set: string, of: string, more = '') => `resource: set
name: ${set}
---
resource: tier
name: ${of}
priority: 1
---
resource: tenant
id: ${of}
---
resource: usage-reporter
name: ${of}
audiences: [https://${of}.example.com]
write_secret: {file: usage_reporters/${of}}
---
resource: key
tenant: ${of}
name: ci
write_secret: {file: ${of}/ci.key}
${more}`

const apply = (text: string, ...more: string[]) =>
  mintmark(['apply', '-f', at.file(text), '--write-secret', '--secret-folder', at.folder, ...more], {
    env: at.env,
  })
const members = async (set: string) =>
  (await service.admin('GET', `/set-objects?set=${set}`)).body.data.map(
    ({ kind, id, name, created_by_set }: Record<string, unknown>) =>
      `${kind} ${id} ${name} ${created_by_set}`,
  )
const secretOf = (of: string) => readFileSync(join(at.folder, of, 'ci.key'), 'utf8')

it('without --rename-set nothing is changed, and the message has the command', async () => {
  expect((await apply(textOf('before', 'plain'))).code).toBe(0)
  const was = await members('before')
  const writes = await at.writes()
  for (const more of [[], ['--prune', '--yes'], ['--adopt']]) {
    const ended = await apply(textOf('after', 'plain'), ...more)
    expect(ended.code).toBe(5)
    expect(ended.stderr).toContain('the tenant "plain" belongs to the set before: it is not changed.')
    expect(ended.stderr).toContain('If the set before is called after now: --rename-set before')
  }
  expect([await members('before'), await members('after'), await at.writes()]).toEqual([was, [], writes])
})

it('a set of keys only does not create them a second time', async () => {
  await service.admin('POST', '/tenants', { id: 'shared' })
  const keys = (set: string) => `resource: set\nname: ${set}\n---\nresource: key\ntenant: shared\nname: ci\n`
  expect((await apply(keys('keys-before'))).code).toBe(0)
  const refused = await apply(keys('keys-after'))
  expect([refused.code, refused.stderr]).toEqual([5, expect.stringContaining('--rename-set keys-before')])
  expect((await service.admin('GET', '/tenants/shared/keys')).body.data).toHaveLength(1)
})

it('a name that may be given twice is given again, and the plan says what else may be meant', async () => {
  const reporter = (set: string) =>
    `resource: set\nname: ${set}\n---\nresource: usage-reporter\nname: twice\naudiences: [https://twice.example.com]\nwrite_secret: {file: usage_reporters/${set}}\n`
  const first = await apply(reporter('twice-before'))
  expect(first.stdout).not.toContain('--rename-set')
  const second = await apply(reporter('twice-after'))
  expect([second.code, second.stdout]).toEqual([0, expect.stringContaining('--rename-set twice-before')])
})

it('with it the objects move, as created by the set, and their secrets go on', async () => {
  expect((await apply(textOf('old', 'moved'))).code).toBe(0)
  const [was, secret] = [await members('old'), secretOf('moved')]
  const shown = await apply(textOf('new', 'moved'), '--rename-set', 'old', '--dry-run')
  expect([shown.code, shown.stdout]).toEqual([
    0,
    expect.stringContaining('~ rename set new\n    name: old -> new'),
  ])
  expect(await members('old')).toEqual(was)
  const writes = await at.writes()
  const done = await apply(textOf('new', 'moved'), '--rename-set', 'old', '--prune')
  expect(done.code, done.stderr).toBe(0)
  expect([await members('old'), await members('new')]).toEqual([[], was])
  expect(await at.writes()).toBe(writes + 1)

  // The option may stay in the script, and the secret that was written for the former set is the key's own.
  for (const more of [['--rename-set', 'old'], []]) {
    const again = await apply(textOf('new', 'moved'), ...more)
    expect([again.code, again.stdout]).toEqual([0, expect.stringContaining('Nothing to change')])
  }
  expect(secretOf('moved')).toBe(secret)
  const rotated = await apply(textOf('new', 'moved'), '--rotate', 'moved/ci')
  expect(rotated.code, rotated.stderr).toBe(0)
  expect(secretOf('moved')).not.toBe(secret)
  expect(readFileSync(join(at.folder, 'moved/ci.key.mintmark'), 'utf8')).toContain('"set":"new"')

  const pruned = await apply('resource: set\nname: new\n', '--prune', '--yes')
  expect(pruned.code, pruned.stderr).toBe(0)
  expect((await service.admin('GET', '/tenants/moved')).status).toBe(404)
})

it('a secret that another set wrote and that is not of the key is not overwritten', async () => {
  expect((await apply(textOf('one', 'proof'))).code).toBe(0)
  writeFileSync(join(at.folder, 'proof/ci.key'), 'something-else')
  const ended = await apply(textOf('two', 'proof'), '--rename-set', 'one')
  expect([ended.code, ended.stderr]).toEqual([5, expect.stringContaining('It is not overwritten')])
})

it.each([
  ['a set that does not exist', 'nowhere', 4, 'there is no set "nowhere"'],
  ['its own name', 'third', 2, 'the files declare this name'],
  ['a set beside one that has objects', 'fourth', 5, 'both have objects'],
])('--rename-set with %s is refused', async (what, from, code, words) => {
  const id = `of-${from}`
  if (code === 5)
    for (const set of ['third', 'fourth']) expect((await apply(textOf(set, `${id}-${set}`))).code).toBe(0)
  const writes = await at.writes()
  const ended = await apply(textOf('third', id), '--rename-set', from)
  expect([ended.code, ended.stderr], what).toEqual([code, expect.stringContaining(words)])
  expect(await at.writes()).toBe(writes)
})
