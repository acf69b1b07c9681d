import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { beforeAll, describe, expect, it } from 'vitest'
import { EXIT } from '../../src/cli/exit-codes.ts'
import { createProgram } from '../../src/cli/program.ts'
import { settingsDescriptions } from '../../src/cli/settings.ts'
import { mintmark, type Outcome } from './mintmark.ts'

const root = new URL('../../', import.meta.url)
const guide = await readFile(new URL('docs/guides/cli.md', root), 'utf8')

/** Every command, including groups, with its name as words. */
function commandsOf(command: Command, words: string[] = []): { words: string[]; command: Command }[] {
  const own = words.length === 0 ? [] : [{ words, command }]
  return [...own, ...command.commands.flatMap(child => commandsOf(child, [...words, child.name()]))]
}

const commands = commandsOf(createProgram({}))
const named = commands.map(({ words, command }) => [words.join(' '), command] as const)
/** The printed help of each command, by its words; '' is the program's own. A few processes at a time. */
const helps = new Map<string, Outcome>()

beforeAll(async () => {
  const waiting = ['', ...named.map(([words]) => words)]
  const worker = async () => {
    for (let words = waiting.shift(); words !== undefined; words = waiting.shift()) {
      helps.set(words, await mintmark([...words.split(' ').filter(Boolean), '--help']))
    }
  }
  await Promise.all([worker(), worker(), worker(), worker()])
})

const verbs = named.filter(([, command]) => command.commands.length === 0)

describe('mintmark --help', () => {
  it('has all commands to check', () => {
    expect(verbs.length).toBeGreaterThan(30)
  })

  it.each(named)('%s: has an example that begins with the command itself', (words, command) => {
    const { code, stdout = '', stderr } = helps.get(words) ?? {}
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const examples = /\nExamples?:\n((?: {2}\$ .+\n)+)$/.exec(stdout)?.[1] ?? ''
    expect(examples).toContain(`mintmark ${words}`)
    expect(command.summary()).not.toBe('')
  })

  it('its examples name commands and options that exist', () => {
    const lines = [...helps.values()].flatMap(({ stdout }) =>
      [...stdout.matchAll(/\bmintmark ([a-z].*)/g)].map(([, rest = '']) => rest),
    )
    expect(lines.length).toBeGreaterThan(60)
    for (const line of lines) {
      const { words, command } = longestCommand(line)
      const flags = [
        ...line
          .replace(/[|)].*/, '')
          .slice(words.length)
          .matchAll(/ (--?[a-z][a-z-]*)/g),
      ].map(([, flag = '']) => flag)
      const known = command.options.flatMap(option => [option.short, option.long]).concat('--help')
      for (const flag of flags) expect(known, line).toContain(flag)
    }
  })

  it('fits 80 columns, except for examples', () => {
    for (const [words, { stdout }] of helps) {
      const text = stdout.replace(/\nExamples?:\n[\s\S]*$/, '')
      expect(
        text.split('\n').filter(line => line.length > 80),
        words,
      ).toEqual([])
    }
  })

  it('without a command goes to standard error, as usage', async () => {
    expect(await mintmark([])).toMatchObject({
      code: EXIT.usage,
      stdout: '',
      stderr: expect.stringContaining('Usage: mintmark'),
    })
    expect(await mintmark(['help', 'tenant'])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('Usage: mintmark tenant'),
    })
  })
})

function longestCommand(line: string): { words: string; command: Command } {
  const found = verbs
    .concat(named)
    .find(([words]) => line === words || line.startsWith(`${words} `) || line.startsWith(`${words}"`))
  if (!found) throw new Error(`no such command: mintmark ${line}`)
  return { words: found[0], command: found[1] }
}

describe('mintmark --version', () => {
  it('is the version of the package', async () => {
    const { version } = JSON.parse(await readFile(new URL('package.json', root), 'utf8'))
    expect(await mintmark(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' })
  })
})

describe('docs/guides/cli.md', () => {
  it.each(verbs.map(([words]) => words))('names: %s', words => {
    const [first = '', second] = words.split(' ')
    const line = guide
      .split('\n')
      .find(row => row.startsWith('mintmark ') && row.split(/[ |]+/).includes(first))
    expect(line?.split(/[ |]+/)).toContain(second ?? first)
  })

  it('has the table of variables that the code reads', () => {
    for (const { name, fallback, description } of settingsDescriptions()) {
      expect(guide).toContain(`| \`${name}\` | ${fallback} | ${description} |`)
    }
  })

  it('has every exit code', () => {
    for (const code of Object.values(EXIT)) expect(guide).toMatch(new RegExp(`^\\| ${code} \\|`, 'm'))
  })
})
