import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { linesOf } from '../../src/cli/lines.ts'
import { withStreams } from '../../src/cli/streams.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mintmark-lines-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}

async function lines(content: string | Buffer): Promise<(string | undefined)[]> {
  const file = join(folder, 'log')
  await writeFile(file, content)
  return all(linesOf(file))
}

describe('the lines of a log', () => {
  it.each([
    ['nothing', '', []],
    ['one without an end', 'a', ['a']],
    ['CRLF, empty ones, and the last without an end', 'a\r\n\nb\r\nc', ['a', '', 'b', 'c']],
    ['zeros before the text, as a rotation by copying leaves them', '\0\0a\n', ['\0\0a']],
    ['characters of several bytes across chunks', `${'é'.repeat(70_000)}\né`, ['é'.repeat(70_000), 'é']],
    ['one that is too long, and the next', `${'x'.repeat(16_777_217)}\nb\n`, [undefined, 'b']],
  ])('%s', async (_, content, expected) => expect(await lines(content)).toEqual(expected))

  it('come from standard input for "-"', async () => {
    const stdin = Readable.from([Buffer.from('a\nb'), Buffer.from('c\n')])
    const { stdout, stderr } = process
    expect(await withStreams({ stdin, stdout, stderr }, () => all(linesOf('-')))).toEqual(['a', 'bc'])
  })
})

describe('a file without any line of a log is refused, because it would look like one without findings:', () => {
  it.each([
    ['gzip', gzipSync('{"reason":"key_revoked"}\n'), 'is compressed'],
    ['zstd', Buffer.from('28b52ffd00', 'hex'), 'is compressed'],
    ['UTF-16', Buffer.from('\uFEFF{}\n', 'utf16le'), 'is UTF-16'],
  ])('%s', async (_, content, words) => expect(lines(content)).rejects.toThrow(words))

  it.each([
    ['a folder', () => folder, 'it is a directory (EISDIR)'],
    ['no file', () => join(folder, 'none'), 'it does not exist (ENOENT)'],
  ])('%s', async (_, file, words) => expect(all(linesOf(file()))).rejects.toThrow(words))
})
