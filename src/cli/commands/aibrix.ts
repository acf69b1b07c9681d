import { type Command, InvalidArgumentError, Option } from 'commander'
import { type AibrixUser, aibrixUser, RPM_LABEL, redisCommand, TPM_LABEL } from '../../gateway/aibrix-user.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import { parseWholeNumber } from '../field-options.ts'
import { Output } from '../output.ts'
import { action, noun, verb } from '../verb.ts'

type MinuteLimits = Parameters<typeof aibrixUser>[1]

interface Tenant {
  id: string
  tier: string
  labels: Record<string, string>
  limits: MinuteLimits
}

interface Tier {
  name: string
  limits: MinuteLimits
}

interface UsersOptions {
  json?: boolean
  rpm: number
  tpm: number
}

export function aibrixCommands(program: Command, environment: NodeJS.ProcessEnv): void {
  const aibrix = noun(program, 'aibrix', {
    summary: 'export tenants to AIBrix',
    examples: ['mintmark aibrix users | redis-cli -e'],
  })
  const users = verb(aibrix, 'users', {
    summary: 'print Redis commands that create a user in AIBrix for each tenant',
    details:
      'AIBrix answers 500 for a tenant without a user. Run it again after a tenant, its labels or limits, or those of its tier ' +
      'changed: existing users are replaced. The limits of a minute are those of the tenant, else of its tier; the labels ' +
      `${RPM_LABEL} and ${TPM_LABEL} of a tenant replace them.`,
    examples: [
      'mintmark aibrix users | redis-cli -e',
      'mintmark aibrix users --rpm 600 | redis-cli -e -h aibrix-redis-master',
      'mintmark aibrix users --json',
    ],
  })
    .addOption(new Option('--commands', 'print lines for redis-cli (default)').conflicts('json'))
    .option('--json', 'print an array of {"name","rpm","tpm"} instead')
    .option('--rpm <n>', 'requests per minute of a tenant without a limit', parseLimit, 0)
    .option(
      '--tpm <n>',
      'tokens per minute of a tenant without a limit (0: the default of AIBrix)',
      parseLimit,
      0,
    )
  users.action(
    action(environment, async ({ admin }) => {
      const options = users.opts<UsersOptions>()
      const tiers = await admin.list<Tier>('/tiers')
      const shown = usersOf(await admin.list<Tenant>('/tenants'), tiers, options)
      const output = new Output({ output: options.json ? 'json' : 'table' })
      if (shown.length === 0 && !options.json) return output.note('No tenants.')
      await output.either({ text: shown.map(redisCommand).join('\n'), json: shown, id: '' })
    }),
  )
}

/** By name. @throws {CliError} that names every label that is not a valid limit. */
function usersOf(
  tenants: readonly Tenant[],
  tiers: readonly Tier[],
  defaults: { rpm: number; tpm: number },
): AibrixUser[] {
  const limitsOf = new Map(tiers.map(({ name, limits }) => [name, limits]))
  const faults: string[] = []
  const users = tenants.flatMap(tenant => {
    try {
      return aibrixUser(tenant, limitsOf.get(tenant.tier) ?? {}, defaults)
    } catch (error) {
      faults.push((error as Error).message)
      return []
    }
  })
  if (faults.length > 0) throw new CliError(EXIT.conflict, 'invalid labels for limits:', faults)
  return users.sort((a, b) => (a.name < b.name ? -1 : 1))
}

function parseLimit(value: string): number {
  const limit = parseWholeNumber(value)
  if (limit < 0) throw new InvalidArgumentError('It must be 0 or more.')
  return limit
}
