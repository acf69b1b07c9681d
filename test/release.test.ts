import { execFile } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { repository } from './support/readme.ts'

const FILES = [
  'CHANGELOG.md',
  'package.json',
  'clients/typescript/package.json',
  'clients/python/pyproject.toml',
  'scripts/release-notes.js',
]
const RELEASED = 'v0.2.0'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mintmark-release-'))
  await Promise.all(FILES.map(file => cp(join(repository, file), join(folder, file))))
})
afterAll(() => rm(folder, { recursive: true }))

const notes = async (tag: string) => {
  const run = promisify(execFile)(process.execPath, ['scripts/release-notes.js', tag], { cwd: folder })
  return run.then(
    ({ stdout }) => stdout,
    ({ code, stderr }) => `${code}: ${stderr}`,
  )
}

describe('A release', () => {
  it('has the section of the changelog as its notes', async () => {
    expect(await notes(RELEASED)).toMatch(/^The first version[\s\S]+### Upgrade\n[\s\S]+### Added\n/)
  })

  it('ends before anything is published if the tag is another version', async () => {
    expect(await notes('v9.9.9')).toMatch(/^1: The tag v9\.9\.9 .*package\.json has version .*no section/)
  })

  it.each<[string, (manifest: Record<string, unknown>) => object, RegExp]>([
    ['private', manifest => ({ ...manifest, private: true }), /^1: .*is private/],
    ['without a repository', ({ repository: _, ...rest }) => rest, /^1: .*has no repository/],
  ])('ends before anything is published if a package is %s', async (_, change, expected) => {
    for (const file of FILES.filter(name => name.endsWith('package.json'))) {
      const text = await readFile(join(folder, file), 'utf8')
      await writeFile(join(folder, file), JSON.stringify(change(JSON.parse(text))))
      expect(await notes(RELEASED)).toMatch(expected)
      await writeFile(join(folder, file), text)
    }
  })

  it.each(['ci', 'release'])('runs only actions that are pinned by digest (%s.yml)', async name => {
    const text = await readFile(join(repository, '.github/workflows', `${name}.yml`), 'utf8')
    const actions = text.split('\n').filter(line => /^\s*(?:- )?uses:/.test(line))
    expect(actions.length).toBeGreaterThan(2)
    for (const action of actions) expect(action).toMatch(/uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/)
  })
})
