import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { declaredSet } from '../../../src/cli/apply/declared-set.ts'
import { readDocuments } from '../../../src/cli/apply/documents.ts'
import { CliError } from '../../../src/cli/exit-codes.ts'

/** Files as people, editors and other tools write them: each is read as it is meant, or refused with its line. */

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mintmark-documents-'))
})
afterAll(() => rm(folder, { recursive: true }))

const SET = 'resource: set\nname: s\n---\n'
const TENANT = 'resource: tenant\nid: x\n'
let files = 0

async function fileOf(content: string | Buffer): Promise<string> {
  const file = join(folder, `${++files}.yaml`)
  await writeFile(file, content)
  return file
}

/** The fields of the first object, or all of the error. */
async function read(content: string | Buffer): Promise<unknown> {
  const file = await fileOf(content)
  try {
    const [object] = declaredSet(await readDocuments([file])).objects
    return object?.document.fields
  } catch (error) {
    if (!(error instanceof CliError) || error.exitCode !== 2) throw error
    return [error.message, ...error.details].join('\n').replaceAll(file, 'f')
  }
}

describe('is read as it is meant:', () => {
  it.each([
    ['a byte order mark', `\uFEFF${SET}${TENANT}`, { id: 'x' }],
    ['CRLF', `${SET}${TENANT}name: Acme\n`.replaceAll('\n', '\r\n'), { name: 'Acme' }],
    ['empty documents', `---\n---\n${SET}---\n# nothing\n---\n${TENANT}`, { id: 'x' }],
    ['JSON', `${SET}{"resource": "tenant", "id": "x"}`, { id: 'x' }],
    [
      'no and off, which are words in YAML 1.2',
      `${SET}resource: tenant\nid: no\nname: off\n`,
      { id: 'no', name: 'off' },
    ],
    ['an anchor and its alias', `${SET}${TENANT}name: &n Acme\ndescription: *n\n`, { description: 'Acme' }],
    [
      'a merge key',
      `${SET}${TENANT}labels:\n  <<: {a: "1", b: "2"}\n  b: "3"\n`,
      { labels: { a: '1', b: '3' } },
    ],
    [
      'a label named as a member of every object',
      `${SET}${TENANT}labels: {constructor: y}\n`,
      { labels: { constructor: 'y' } },
    ],
  ])('%s', async (_, content, fields) => expect(await read(content)).toMatchObject(fields))
})

describe('is refused with its place:', () => {
  const alias = /this alias \(\*…\) has no anchor before it in its document/
  it.each<[string, string | Buffer, RegExp]>([
    ['nothing', '', /^the files have no documents\.$/],
    ['only ---', '---\n---\n', /^the files have no documents\.$/],
    [
      'Latin-1',
      Buffer.from(`${SET}${TENANT}name: caf\xe9\n`, 'latin1'),
      /^f:6 is not UTF-8\. Save it as UTF-8\.$/,
    ],
    ['UTF-16', Buffer.from(`\uFEFF${SET}`, 'utf16le'), /^f is UTF-16\. Save it as UTF-8\.$/],
    ['a tab as indent', `${SET}${TENANT}labels:\n\ta: b\n`, /f:7 \(document 2\): not YAML/],
    ['a field twice', `${SET}${TENANT}id: y\n`, /f:6 \(document 2\): not YAML \(DUPLICATE_KEY\)/],
    [
      'an unquoted number',
      `${SET}resource: tenant\nid: 007\n`,
      /f:5 \(document 2\): id must be text\. Put it in quotes$/,
    ],
    ['a missing value', `${SET}${TENANT}name:\n`, /f:6 \(document 2\): name must be text$/],
    ['an alias without an anchor', `${SET}${TENANT}name: *pass\n`, alias],
    ['an alias of another document', `${SET}${TENANT}name: &n A\n---\nresource: tier\nname: *n\n`, alias],
    [
      'a tag of another tool',
      `${SET}${TENANT}name: !vault abc\n`,
      /f:6 \(document 2\): this tag \(!…\) is not known here/,
    ],
    ['another version of YAML', `%YAML 9.9\n---\n${TENANT}`, /f:1 \(document 1\): not YAML/],
    [
      'aliases of aliases',
      `${SET}${TENANT}labels:\n  a: &a [${'x,'.repeat(10)}]\n  b: &b [${'*a,'.repeat(10)}]\n  c: &c [${'*b,'.repeat(10)}]\n  d: [*c,*c]\n`,
      /\(document 2\): more than 100 aliases/,
    ],
    [
      'a merge key with a word',
      `${SET}${TENANT}labels:\n  <<: abc\n`,
      /\(document 2\): the value of a merge key \(<<\) must be an object/,
    ],
    ['a label named <<, in quotes', `${SET}${TENANT}labels:\n  "<<": 1\n`, /labels\.<< must be/],
    ['an alias inside of itself', `${SET}&x\n${TENANT}labels: {a: *x}\n`, /labels\.a must be text/],
    [
      'a name that no object can keep',
      `${SET}${TENANT}labels: {__proto__: y}\n`,
      /f:6 \(document 2\): the name __proto__ is not allowed/,
    ],
    [
      'a template that was not filled in',
      `${SET}resource: tenant\nid: {{ .Values.id }}\n`,
      /f:5 \(document 2\): id must be text/,
    ],
    [
      'one name in two spellings of Unicode',
      `${SET}${['\u00e9', 'e\u0301'].map(e => `resource: key\ntenant: x\nname: ${e}\n`).join('---\n')}`,
      /more than once/,
    ],
  ])('%s', async (_, content, message) => {
    const text = await read(content)
    expect(text).toMatch(message)
    expect(text, 'no fault is repeated').toBe([...new Set(String(text).split('\n'))].join('\n'))
    expect(text, 'what the file has may be a secret').not.toMatch(/abc|pass/)
  })

  it('a file that never ends', async () => {
    await expect(readDocuments(['/dev/zero'])).rejects.toThrow(
      '/dev/zero is too long: more than 16777216 bytes.',
    )
  })

  it('one file under two names', async () => {
    const file = await fileOf(SET)
    await expect(
      readDocuments([
        file,
        join(folder, '.', `./${files}.yaml`),
        `${folder}/../${file.slice(tmpdir().length + 1)}`,
      ]),
    ).rejects.toThrow('named twice')
  })
})

it('names folders with YAML files that are not read, which --prune would take for deleted', async () => {
  const root = join(folder, 'root')
  for (const path of ['teams', 'read', 'empty', '.git', '..data']) {
    await mkdir(join(root, path), { recursive: true })
    if (path !== 'empty') await writeFile(join(root, path, 'a.yaml'), path === 'read' ? TENANT : '')
  }
  await writeFile(join(root, 'set.yaml'), SET)
  await symlink('nowhere', join(root, 'link'))
  const notes: string[] = []
  await readDocuments([root, join(root, 'read')], text => notes.push(text))
  expect(notes).toEqual([
    expect.stringContaining(`The folder ${join(root, 'teams')} has .yaml files, and is not read`),
  ])
})
