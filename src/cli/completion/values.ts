import type { Argument, Option } from 'commander'
import { TOKEN_ROLES } from '../../admin-tokens/admin-token.ts'

/** Objects of the service whose names complete an argument, by their list in the API. */
export const LISTS = {
  tenants: '/tenants',
  keys: '/keys',
  tiers: '/tiers',
  models: '/models',
  adapters: '/adapters',
  'signing keys': '/signing-keys',
  'admin tokens': '/admin-tokens',
  'usage reporters': '/usage-reporters',
  'identity providers': '/identity-providers',
} as const
export type Listed = keyof typeof LISTS

/** What an argument or the value of an option may be. */
export type Values =
  | { kind: 'choices'; choices: readonly string[] }
  | { kind: 'files' }
  | { kind: 'contexts' }
  | { kind: 'listed'; list: Listed }
  | { kind: 'unknown' }

/** By the name of an argument in the usage: `<tenant>`. */
const BY_PLACEHOLDER: Readonly<Record<string, Values>> = {
  tenant: { kind: 'listed', list: 'tenants' },
  tenants: { kind: 'listed', list: 'tenants' },
  key: { kind: 'listed', list: 'keys' },
  keys: { kind: 'listed', list: 'keys' },
  kid: { kind: 'listed', list: 'signing keys' },
  token: { kind: 'listed', list: 'admin tokens' },
  reporter: { kind: 'listed', list: 'usage reporters' },
  reporters: { kind: 'listed', list: 'usage reporters' },
  provider: { kind: 'listed', list: 'identity providers' },
  context: { kind: 'contexts' },
  role: { kind: 'choices', choices: TOKEN_ROLES },
  file: { kind: 'files' },
  path: { kind: 'files' },
}

/** By the flag, where the placeholder is only `<name>`. */
const BY_FLAG: Readonly<Record<string, Values>> = {
  '--tier': { kind: 'listed', list: 'tiers' },
  '--allow-tier': { kind: 'listed', list: 'tiers' },
  '--model': { kind: 'listed', list: 'models' },
  '--base-model': { kind: 'listed', list: 'models' },
  '--adapter': { kind: 'listed', list: 'adapters' },
  '--context': { kind: 'contexts' },
}

/** By the group, where the argument is only `<name>`. */
const BY_GROUP: Readonly<Record<string, Values>> = {
  tier: { kind: 'listed', list: 'tiers' },
  model: { kind: 'listed', list: 'models' },
  adapter: { kind: 'listed', list: 'adapters' },
}

const UNKNOWN: Values = { kind: 'unknown' }

export function valuesOfOption({ argChoices, flags, long }: Option): Values {
  if (argChoices) return { kind: 'choices', choices: argChoices }
  const [, placeholder = ''] = /[<[]([\w-]+)/.exec(flags) ?? []
  // A field has a path too, but no file.
  return long === '--field' ? UNKNOWN : (BY_FLAG[long ?? ''] ?? BY_PLACEHOLDER[placeholder] ?? UNKNOWN)
}

export function valuesOfArgument(argument: Argument, group: string): Values {
  if (argument.argChoices) return { kind: 'choices', choices: argument.argChoices }
  const name = argument.name()
  return name === 'name' ? (BY_GROUP[group] ?? UNKNOWN) : (BY_PLACEHOLDER[name] ?? UNKNOWN)
}
