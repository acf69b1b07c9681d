import { Argument, type Command } from 'commander'
import { readContexts } from '../contexts/context-store.ts'
import { streams } from '../streams.ts'
import { printable } from '../terminal-text.ts'
import { action, verb } from '../verb.ts'
import { type Candidate, type Expected, expectedAt } from './candidates.ts'
import { listedNames } from './listed-names.ts'
import { SCRIPTS, type Shell } from './scripts.ts'

/** The shell completes file names itself. */
const FILES = ':files'

/** completion/ completes command lines in bash, zsh and fish. */
export function completionCommand(program: Command, environment: NodeJS.ProcessEnv): void {
  verb(program, 'completion', {
    summary: 'print the completion script of a shell',
    details:
      'Loaded into the shell, it completes commands, options, their values, and names of objects: the newest 100 from the service, ' +
      'if it answers within a second. With words after "--" it prints what the last of them may become, which the script uses.',
    examples: [
      'source <(mintmark completion bash)',
      'source <(mintmark completion zsh)',
      'mintmark completion fish > ~/.config/fish/completions/mintmark.fish',
    ],
  })
    .addArgument(new Argument('<shell>', 'bash, zsh or fish').choices(Object.keys(SCRIPTS)))
    .argument('[words...]', 'words of a command line, the last one incomplete')
    .action(
      // biome-ignore lint/suspicious/noExplicitAny: commander passes a list for a variadic argument
      action<[shell: string, words: any]>(environment, async (_, shell, words: string[]) => {
        if (words.length === 0) return void streams().stdout.write(SCRIPTS[shell as Shell])
        const lines = await linesFor(environment, expectedAt(program, words), words.at(-1) ?? '')
        streams().stdout.write(lines.map(line => `${line}\n`).join(''))
      }),
    )
}

async function linesFor(
  environment: NodeJS.ProcessEnv,
  expected: Expected,
  current: string,
): Promise<string[]> {
  if (expected.kind === 'values' && expected.values.kind === 'files') return [FILES]
  const prefix = expected.kind === 'values' ? expected.prefix : ''
  const candidates = expected.kind === 'words' ? expected.words : await namesOf(environment, expected)
  return candidates
    .map(({ word, summary }) => ({ word: prefix + word, summary }))
    .filter(({ word }) => word.startsWith(current) && /^[\x21-\x7e]+$/.test(word))
    .map(({ word, summary }) => `${word}\t${printable(summary)}`)
}

async function namesOf(
  environment: NodeJS.ProcessEnv,
  { values }: Expected & { kind: 'values' },
): Promise<readonly Candidate[]> {
  switch (values.kind) {
    case 'choices':
      return values.choices.map(word => ({ word, summary: '' }))
    case 'contexts':
      return Object.entries(readContexts(environment).contexts).map(([word, { url }]) => ({
        word,
        summary: url,
      }))
    case 'listed':
      return listedNames(environment, values.list)
    default:
      return []
  }
}
