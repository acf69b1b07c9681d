import type { Command } from 'commander'
import { path } from '../../admin-client.ts'
import { CliError, EXIT } from '../../exit-codes.ts'
import { bodyOf, type FieldOption, text, time } from '../../field-options.ts'
import { readInput } from '../../input.ts'
import type { View } from '../../output.ts'
import { parseDays } from '../../time-arguments.ts'
import { action, getVerb, listVerb, resultVerb, show } from '../../verb.ts'
import { KEY_VIEW, type Key } from './key-view.ts'

/** Queries about keys: list, identify, exchanges. */
export function keyReadCommands(key: Command, environment: NodeJS.ProcessEnv): void {
  list(key, environment)
  getVerb(key, 'get <key>', {
    summary: 'show a key, its secrets and its effective rights',
    details: 'The fields under "effective" are the rights that a token would get now.',
    examples: ['mintmark key get key_7Hq2kd9XwP3mZt5B'],
  }).action(
    action<[id: string]>(environment, (invocation, id) => show<Key>(invocation, path`/keys/${id}`, KEY_VIEW)),
  )
  inspect(key, environment)
  exchanges(key, environment)
}

/** Options that filter keys. */
export const keyFilters = (): FieldOption[] => [
  text('label', '--label <name=value>', 'keys with this label; without "=value": any value'),
  text('created_by', '--created-by <who>', 'keys created by this admin token, or by "root"'),
  time(
    'expires_before',
    '--expires-before <time>',
    'keys that expire before this time, or within 30d',
    'from now',
  ),
  text('pepper', '--pepper <id>', 'usable keys that still depend on this pepper'),
  time('unused_since', '--unused-since <time>', 'keys created before this time and not used since', 'ago'),
]

const importedFilter = (): FieldOption =>
  text(
    'imported',
    '--imported <any|lookup>',
    'keys with an imported secret; "lookup": one used without client_id',
  )

function list(key: Command, environment: NodeJS.ProcessEnv): void {
  const command = listVerb(key, 'list [tenant]', {
    summary: 'list keys of a tenant, or all keys, newest first',
    details: 'All given filters must match. Times are like 2027-01-31T12:00:00Z, 2027-01-31 or 90d.',
    examples: [
      'mintmark key list acme',
      'mintmark key list --limit 20',
      'mintmark key list --expires-before 30d --label team=ml',
      'mintmark key list --unused-since 90d',
    ],
  })
  for (const option of [...keyFilters(), importedFilter()]) command.addOption(option)
  command.action(
    action<[tenant: string | undefined]>(environment, async ({ admin, output }, tenant) => {
      const place = tenant === undefined ? '/keys' : path`/tenants/${tenant}/keys`
      const filter = bodyOf(command) as Record<string, string>
      await output.list(await admin.list<Key>(place, command.opts().limit, filter), KEY_VIEW)
    }),
  )
}

interface Inspected {
  well_formed: boolean
  key: Key | null
  secret_id: string | null
}

function inspect(key: Command, environment: NodeJS.ProcessEnv): void {
  resultVerb(key, 'inspect [file]', {
    summary: 'identify the key that a string belongs to; not counted as a use',
    details: 'Reads the string from a file or standard input.',
    examples: ['mintmark key inspect found-in-a-log.txt', 'mintmark key inspect < ci.key'],
  }).action(
    action<[file: string | undefined]>(environment, async ({ admin, output }, file) => {
      const string = await readInput(file, 'no key: name a file, or pipe the key to standard input.')
      const found = await admin.post<Inspected>('/keys/inspect', { key: string })
      if (found.key) return output.object(found.key, KEY_VIEW, `The string is its secret ${found.secret_id}.`)
      await output.json(found)
      throw new CliError(
        EXIT.notFound,
        found.well_formed
          ? 'the string has the form of a key, but no key that you may see has it.'
          : 'the string is not an API key: its form or checksum is wrong.',
      )
    }),
  )
}

interface Usage {
  day: string
  outcome: string
  count: number
}

const USAGE_VIEW: View<Usage> = {
  plural: 'exchanges',
  id: ({ day, outcome, count }) => `${day} ${outcome} ${count}`,
  columns: [
    { title: 'DAY', of: ({ day }) => day },
    { title: 'OUTCOME', of: ({ outcome }) => outcome },
    { title: 'COUNT', of: ({ count }) => String(count) },
  ],
}

function exchanges(key: Command, environment: NodeJS.ProcessEnv): void {
  const command = resultVerb(key, 'exchanges <key>', {
    summary: 'show the exchanges of a key on each day, and rejections by reason',
    details: 'Days are in UTC. The last few seconds may be missing.',
    examples: ['mintmark key exchanges key_7Hq2kd9XwP3mZt5B --days 7'],
    quiet: 'print lines without a header',
  }).addOption(
    text('days', '--days <n>', 'number of days, like 7 or 7d, today included (default 30)').argParser(
      parseDays,
    ),
  )
  command.action(
    action<[id: string]>(environment, async ({ admin, output }, id) => {
      const query = new URLSearchParams(bodyOf(command) as Record<string, string>)
      const { data } = await admin.get<{ data: Usage[] }>(`${path`/keys/${id}/exchanges`}?${query}`)
      await output.list(data, USAGE_VIEW)
    }),
  )
}
