import { Writable } from 'node:stream'
import { expect, it } from 'vitest'
import { printError, printNotice, printProgress } from '../../src/cli/output.ts'
import { withStreams } from '../../src/cli/streams.ts'

function written(isTTY: boolean, act: () => void): string {
  let text = ''
  const write = (chunk: Buffer, _: string, done: () => void) => {
    text += chunk
    done()
  }
  const stderr = Object.assign(new Writable({ write }), { isTTY })
  withStreams({ stdin: process.stdin, stdout: process.stdout, stderr }, act)
  return text
}

it('progress is one line, which a notice and an error replace', () => {
  const text = written(true, () => {
    printProgress('500 of 2000 keys')
    printNotice('The service answers 503.')
    printProgress('1000 of 2000 keys')
    printError('no connection')
    printError('again')
  })
  expect(text.split('\r\x1b[K')).toEqual([
    '',
    '500 of 2000 keys',
    expect.stringMatching(/mintmark:.* The service answers 503\.\n$/),
    '1000 of 2000 keys',
    expect.stringMatching(/mintmark:.* no connection\n.*mintmark:.* again\n$/),
  ])
})

it('progress is not shown where nobody watches', () => {
  expect(written(false, () => printProgress('500 of 2000 keys'))).toBe('')
})
