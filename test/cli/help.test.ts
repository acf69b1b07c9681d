import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { EXIT } from '../../src/cli/exit-codes.ts'
import { createProgram } from '../../src/cli/program.ts'
import { settingsDescriptions } from '../../src/cli/settings.ts'

const root = new URL('../../', import.meta.url)
const guide = await readFile(new URL('docs/guides/cli.md', root), 'utf8')

/** Every command, including groups, with its name as words. */
function commandsOf(command: Command, words: string[] = []): { words: string[]; command: Command }[] {
  const own = words.length === 0 ? [] : [{ words, command }]
  return [...own, ...command.commands.flatMap(child => commandsOf(child, [...words, child.name()]))]
}

const commands = commandsOf(createProgram({}))
const named = commands.map(({ words, command }) => [words.join(' '), command] as const)
/** Help as the command prints it, by its words; '' is the program's own. */
const helps = new Map(await Promise.all(['', ...named.map(([words]) => words)].map(helpOf)))

/** Runs the command with --help on a program of its own, and keeps what it would print. */
async function helpOf(words: string): Promise<[string, { code: number; stdout: string; stderr: string }]> {
  const program = createProgram({})
  let stdout = ''
  let stderr = ''
  const output = {
    writeOut: (text: string) => {
      stdout += text
    },
    writeErr: (text: string) => {
      stderr += text
    },
    getOutHelpWidth: () => 80,
    getOutHasColors: () => false,
  }
  for (const command of [program, ...commandsOf(program).map(found => found.command)]) {
    command.configureOutput(output)
  }
  const end = await program
    .parseAsync([...words.split(' ').filter(Boolean), '--help'], { from: 'user' })
    .catch(error => error)
  return [words, { code: end.exitCode, stdout, stderr }]
}

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
})

function longestCommand(line: string): { words: string; command: Command } {
  const found = verbs
    .concat(named)
    .find(([words]) => line === words || line.startsWith(`${words} `) || line.startsWith(`${words}"`))
  if (!found) throw new Error(`no such command: mintmark ${line}`)
  return { words: found[0], command: found[1] }
}

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
