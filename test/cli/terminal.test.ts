import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { stripVTControlCharacters } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { REVIEW_VIEW, type ReviewedKey } from '../../src/cli/report/reviewed-key.ts'
import { record, table } from '../../src/cli/table.ts'
import { printableJson, textWidth } from '../../src/cli/terminal-text.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { cliOf, MAIN } from './mintmark.ts'

interface Row {
  id: string
  name: string
}
const COLUMNS = [
  { title: 'ID', of: (row: Row) => row.id },
  { title: 'NAME', of: (row: Row) => row.name, cut: true },
  { title: 'END', of: () => 'end' },
]
const lines = (rows: Row[], width = Number.POSITIVE_INFINITY) => table(rows, COLUMNS, width).split('\n')

describe('a table', () => {
  it('is as wide as its widest cells, without spaces at the end', () => {
    expect(
      lines([
        { id: 'a', name: 'short' },
        { id: 'longer-id', name: 'x' },
      ]),
    ).toEqual(['ID         NAME   END', 'a          short  end', 'longer-id  x      end'])
  })

  it('shortens what may be cut to the terminal, but never an id', () => {
    const rows = [{ id: 'an-id-that-is-copied', name: 'a name that is longer than the column' }]
    expect(lines(rows, 40)[1]).toBe('an-id-that-is-copied  a name that…   end')
    expect(lines(rows, 10)[1]).toBe('an-id-that-is-copied  a name…   end')
  })

  it('of an access review fits a terminal, however long its names and contacts are', () => {
    const long = { name: 'n'.repeat(100), tenant: 't'.repeat(63), contact: 'c'.repeat(200) }
    const key = { ...long, id: 'key_0123456789abcdef', state: 'active' } as ReviewedKey
    const [, line = ''] = table([key], REVIEW_VIEW.columns, 120).split('\n')
    expect(textWidth(line)).toBeLessThanOrEqual(120)
    expect(line).toMatch(/^key_0123456789abcdef +t+… +n+… +active +c+… +/)
  })

  it('counts cells, not code units: Han, hangul, emoji and combining marks', () => {
    expect(['青い', '한글', '👩‍🚀', 'e\u0301'].map(textWidth)).toEqual([4, 4, 2, 1])
    const [, first = '', second = ''] = lines([
      { id: '青い', name: 'x' },
      { id: 'abcd', name: 'x' },
    ])
    expect(textWidth(first.split('x')[0] ?? '')).toBe(textWidth(second.split('x')[0] ?? ''))
  })

  it.each([
    ['an escape sequence', '\u001b[31mred'],
    ['an 8-bit control', 'a\u009b31m'],
    ['a new line', 'a\nb'],
    ['a direction override', 'a\u202egnp.exe'],
    ['a direction isolate', 'a\u2067gnp.exe'],
  ])('shows %s escaped', (_, name) => {
    const unsafe = /(?!\n)[\p{Cc}\u202e\u2067]/u
    expect(lines([{ id: 'a', name }])).toHaveLength(2)
    expect(table([{ id: 'a', name }], COLUMNS, 80)).not.toMatch(unsafe)
    expect(record([['name', name]])).not.toMatch(/[\p{Cc}\u202e\u2067]/u)
    expect(printableJson({ name })).not.toMatch(unsafe)
    expect(JSON.parse(printableJson({ name }))).toEqual({ name })
  })
})

/** util-linux's script(1) runs a command in a terminal. */
const SCRIPT = '/usr/bin/script'
const hasTerminal = process.platform === 'linux' && existsSync(SCRIPT)

describe.skipIf(!hasTerminal)('on a terminal of 60 columns', () => {
  let service: TestService
  let cli: ReturnType<typeof cliOf>
  beforeAll(async () => {
    service = await startTestService()
    cli = cliOf(service)
    await service.admin('POST', '/tenants', {
      id: 'acme',
      name: 'A name that is much longer than sixty columns leave room for',
    })
    await service.admin('POST', '/tenants/acme/suspend')
  })
  afterAll(() => service.stop())

  const onTerminal = (args: string, env: Record<string, string> = {}) =>
    new Promise<string>(resolve => {
      const command = `stty cols 60; "${process.execPath}" "${MAIN}" ${args}`
      const surroundings = {
        PATH: process.env.PATH ?? '',
        TERM: 'xterm-256color',
        SHELL: '/bin/sh',
        ...cli.env,
        ...env,
      }
      const child = spawn(SCRIPT, ['-qec', command, '/dev/null'], {
        env: surroundings,
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let text = ''
      child.stdout.on('data', chunk => {
        text += chunk
      })
      child.once('close', () => resolve(text.replaceAll('\r', '')))
    })

  it('tables fit and states have colours', async () => {
    const text = await onTerminal('tenant list')
    expect(text).toContain('\u001b[33msuspended')
    const shown = stripVTControlCharacters(text).trimEnd().split('\n')
    expect(shown[1]).toMatch(/^acme {2}A name .*… {2}suspended {2}standard {2}none/)
    expect(Math.max(...shown.map(textWidth))).toBeLessThanOrEqual(60)
  })

  it.each([
    ['NO_COLOR', 'tenant list', { NO_COLOR: '1' }],
    ['NO_COLOR', 'tenant --help', { NO_COLOR: '1' }],
    ['NO_COLOR', 'tenant get nobody', { NO_COLOR: '1' }],
    ['TERM=dumb', 'tenant list', { TERM: 'dumb' }],
  ])('%s disables the colours of: %s', async (_, args, env) => {
    expect(await onTerminal(args, env)).not.toContain('\u001b')
  })

  it('a secret is alone on its line, and JSON has no colours', async () => {
    expect(await onTerminal('key create acme -q')).toMatch(/^mmk_\w+\n$/)
    expect(JSON.parse(await onTerminal('tenant list -o json'))).toHaveLength(1)
  })

  it('token get and inspect report missing input instead of waiting for it', async () => {
    expect(await onTerminal('token get')).toContain(
      'no API key: set MINTMARK_API_KEY, use --key-file, or pipe the key to standard input.',
    )
    expect(await onTerminal('token inspect')).toContain(
      'no token: name a file, or pipe the token to standard input.',
    )
  })
})
