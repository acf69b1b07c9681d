import type { Command, Option } from 'commander'
import { nounOf, verbOf } from '../aliases.ts'
import { type Values, valuesOfArgument, valuesOfOption } from './values.ts'

/** A possible next word, with its meaning. */
export interface Candidate {
  word: string
  summary: string
}

/** What is expected next: words, or values that the caller looks up. `prefix` comes before each value: `--tier=`. */
export type Expected =
  | { kind: 'words'; words: readonly Candidate[] }
  | { kind: 'values'; values: Values; prefix: string }

/**
 * What the last of these words may become, by the definitions of the commands. The others precede it; options
 * and their values are recognized as commander does.
 */
export function expectedAt(program: Command, words: readonly string[]): Expected {
  const current = words.at(-1) ?? ''
  const place = walked(program, words.slice(0, -1))
  const { command, group, pending } = place
  if (pending) return { kind: 'values', values: valuesOfOption(pending), prefix: '' }
  if (current.startsWith('-') && !place.ended) {
    const [flag = '', ...value] = current.split('=')
    const option = value.length > 0 ? optionOf(command, flag) : undefined
    if (option) return { kind: 'values', values: valuesOfOption(option), prefix: `${flag}=` }
    return { kind: 'words', words: optionWords(command, place.given) }
  }
  if (command.commands.length > 0) return { kind: 'words', words: commandWords(command, command === program) }
  const { registeredArguments: all } = command
  const argument = all[place.position] ?? (all.at(-1)?.variadic ? all.at(-1) : undefined)
  if (!argument) return { kind: 'words', words: [] }
  return { kind: 'values', values: valuesOfArgument(argument, group), prefix: '' }
}

interface Place {
  command: Command
  /** Name of the command that has this one. */
  group: string
  /** Number of arguments before. */
  position: number
  /** An option that waits for its value. */
  pending: Option | undefined
  /** Options before. */
  given: Option[]
  /** After "--": no options any more. */
  ended: boolean
}

function walked(program: Command, words: readonly string[]): Place {
  const place: Place = {
    command: program,
    group: '',
    position: 0,
    pending: undefined,
    given: [],
    ended: false,
  }
  // "help tenant" has the names of "tenant".
  for (const word of words[0] === 'help' ? words.slice(1) : words) {
    if (place.pending) place.pending = undefined
    else if (word === '--') place.ended = true
    else if (word.startsWith('-') && !place.ended) {
      const option = optionOf(place.command, word.split('=')[0] ?? '')
      if (option) place.given.push(option)
      if (option && !word.includes('=') && (option.required || option.optional)) place.pending = option
    } else descend(program, place, word)
  }
  return place
}

function descend(program: Command, place: Place, word: string): void {
  const { command } = place
  const name = command === program ? nounOf(program, word) : verbOf(command, word)
  const child = command.commands.find(each => each.name() === name)
  if (child) Object.assign(place, { command: child, group: command === program ? word : command.name() })
  else place.position += 1
}

const optionOf = (command: Command, flag: string): Option | undefined =>
  command.options.find(({ short, long }) => flag === short || flag === long)

const commandWords = (command: Command, isProgram: boolean): Candidate[] => [
  ...command.commands.map(child => ({ word: child.name(), summary: child.summary() })),
  ...(isProgram ? [{ word: 'help', summary: 'show help for a command' }] : []),
]

/** Those that were given are left out, unless they may be repeated. */
function optionWords(command: Command, given: readonly Option[]): Candidate[] {
  const left = command.options.filter(
    option => !option.hidden && (!given.includes(option) || option.description.includes('(repeatable)')),
  )
  const words = left.map(({ long, short, description }) => ({
    word: long ?? short ?? '',
    summary: description,
  }))
  return [...words, { word: '--help', summary: 'show help' }]
}
