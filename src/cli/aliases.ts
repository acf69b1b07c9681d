import type { Command } from 'commander'
import { CliError, EXIT } from './exit-codes.ts'

/** Aliases: names that other command lines use. Help and completion do not show them. */
const NOUNS: Readonly<Record<string, string>> = {
  tenants: 'tenant',
  keys: 'key',
  'api-key': 'key',
  'api-keys': 'key',
  tiers: 'tier',
  models: 'model',
  adapters: 'adapter',
  lora: 'adapter',
  'signing-keys': 'signing-key',
  'admin-tokens': 'admin-token',
  tokens: 'token',
  installations: 'installation',
  identities: 'identity',
  'identity-provider': 'identity',
  'identity-providers': 'identity',
  'usage-reporters': 'usage-reporter',
  contexts: 'context',
}

/** The first of these verbs that a group has is meant. */
const VERBS: Readonly<Record<string, readonly string[]>> = {
  show: ['get'],
  describe: ['get'],
  view: ['get'],
  info: ['get'],
  ls: ['list', 'providers'],
  list: ['providers'],
  new: ['create'],
  add: ['create'],
  rm: ['delete'],
  remove: ['delete'],
  edit: ['update'],
  switch: ['use'],
}

/**
 * Names that mean something near: an unknown command is answered with a suggestion, because the effect differs from what
 * the name promises, or cannot be undone.
 */
const SUGGESTIONS: Readonly<Record<string, readonly string[]>> = {
  create: ['set'],
  add: ['set', 'add-credential'],
  new: ['set'],
  set: ['update', 'create'],
  update: ['set'],
  patch: ['update', 'set'],
  apply: ['set', 'update'],
  delete: ['revoke', 'void'],
  rm: ['revoke'],
  remove: ['revoke'],
  destroy: ['delete', 'revoke'],
  suspend: ['disable'],
  disable: ['suspend', 'hold'],
  stop: ['suspend', 'disable'],
  enable: ['resume', 'release'],
  resume: ['enable'],
  renew: ['rotate', 'get'],
  deny: ['revoke'],
  lookup: ['inspect', 'get'],
  logout: ['context'],
  auth: ['login', 'whoami'],
  status: ['whoami', 'get'],
  server: ['serve'],
  start: ['serve'],
  init: ['quickstart'],
  policy: ['installation'],
  log: ['audit'],
  logs: ['audit'],
}

/**
 * Arguments with Mintmark's names in place of aliases. @throws {CliError} with a suggestion for a name
 * that means something else here.
 */
export function withoutAliases(program: Command, args: readonly string[]): readonly string[] {
  const shift = args[0] === 'help' ? 1 : 0
  const noun = args[shift]
  if (noun === undefined || noun.startsWith('-')) return args
  const ours = nounOf(program, noun) ?? suggestion(program, noun, 'mintmark')
  const group = program.commands.find(command => command.name() === ours)
  const renamed = args.with(shift, ours ?? noun)
  const verb = args[shift + 1]
  if (group === undefined || group.commands.length === 0 || verb === undefined || verb.startsWith('-'))
    return renamed
  const name = verbOf(group, verb) ?? suggestion(group, verb, `mintmark ${ours}`)
  const words = renamed.with(shift + 1, name ?? verb)
  // The help command of commander knows groups only.
  return shift === 1 ? [...words.slice(1, 3), '--help'] : words
}

const has = (group: Command, name: string) => group.commands.some(command => command.name() === name)

/** Mintmark's name of a group or command; undefined: none has this name or alias. */
export const nounOf = (program: Command, noun: string) => nameOf(program, noun, NOUNS[noun] ?? '')

/** The same for a command of a group. */
export const verbOf = (group: Command, verb: string) => nameOf(group, verb, ...(VERBS[verb] ?? []))

const nameOf = (group: Command, ...names: string[]): string | undefined =>
  names.find(name => has(group, name))

/** undefined: commander compares the letters. */
function suggestion(group: Command, name: string, words: string): undefined {
  const meant = SUGGESTIONS[name]?.find(other => has(group, other))
  if (meant === undefined) return
  const summary = group.commands.find(command => command.name() === meant)?.summary()
  throw new CliError(EXIT.usage, `unknown command '${name}'. Did you mean "${words} ${meant}"?`, [
    `It is to ${summary}.`,
  ])
}

/** Options of other command lines, by the option that is meant. */
const OPTIONS: Readonly<Record<string, string>> = {
  '--force': '--yes',
  '--format': '--output',
  '--json': '-o json',
  '--yaml': '-o yaml',
  '--ttl': '--expires-at',
  '--expires-in': '--expires-at',
  '--expiry': '--expires-at',
  '--overlap': '--overlap-seconds',
  '--tags': '--label',
  '--tag': '--label',
  '--rpm': '--requests-per-minute',
  '--tpm': '--tokens-per-minute',
}

/** Adds a suggestion to an error of commander about an unknown option, if it has none. */
export function withOptionSuggestion(text: string): string {
  const [, flag = ''] = /^unknown option '(--[a-z-]+)'$/.exec(text) ?? []
  const meant = OPTIONS[flag]
  return meant === undefined ? text : `${text}\n(Did you mean ${meant}?)`
}
