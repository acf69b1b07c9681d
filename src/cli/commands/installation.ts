import { type Command, InvalidArgumentError } from 'commander'
import { changesOf, collect, FieldOption, list, seconds, text, wholeNumber } from '../field-options.ts'
import { moment, part, type View } from '../output.ts'
import { action, changeVerb, conditional, getVerb, noun, show } from '../verb.ts'

interface Replica {
  id: string
  host: string
  state: string
  seen_at: string
}
interface Installation {
  id: string
  issuer: string
  policy: object
  replicas: Replica[]
}

const VIEW: View<Installation> = {
  plural: 'installations',
  id: installation => installation.id,
  columns: [{ title: 'ID', of: installation => installation.id }],
  parts: [
    part('replicas', installation => installation.replicas, [
      { title: 'HOST', of: replica => replica.host },
      { title: 'STATE', of: replica => replica.state, state: true },
      { title: 'SEEN', of: replica => moment(replica.seen_at) },
    ]),
  ],
}

export function installationCommands(program: Command, environment: NodeJS.ProcessEnv): void {
  const installation = noun(program, 'installation', {
    summary: 'policy and secrets that all replicas share',
    examples: ['mintmark installation get'],
  })
  getVerb(installation, 'get', {
    summary: 'show the policy, the number of signing keys, the secrets in use and the replicas',
    details:
      '"left_on_others" counts what still depends on a pepper or encryption key that is not the current one.',
    examples: ['mintmark installation get', 'mintmark installation get -o json'],
  }).action(action(environment, invocation => show<Installation>(invocation, '/installation', VIEW)))
  update(installation, environment)
}

function update(installation: Command, environment: NodeJS.ProcessEnv): void {
  const command = changeVerb(installation, 'update', {
    summary: 'update the policy',
    details:
      'An algorithm is published first (--publish-alg, together with the existing ones) and can be selected when its key ' +
      'has been published for the lead. Changed times reschedule every standby key.',
    examples: [
      'mintmark installation update --rotation-interval-seconds 7d',
      'mintmark installation update --publish-alg ES256 --publish-alg RS256',
      'mintmark installation update --audience-alg legacy=RS256',
    ],
  })
  for (const option of settings()) command.addOption(option)
  conditional(command).action(
    action(environment, async ({ admin, output }) => {
      const changed = await admin.patch<Installation>('/installation', { policy: changesOf(command) })
      await output.changed(changed, VIEW, 'Updated the policy.')
    }),
  )
}

const settings = () => [
  seconds(
    'rotation_interval_seconds',
    '--rotation-interval-seconds <n>',
    'time between two rotations of a signing key',
  ),
  seconds(
    'publish_lead_seconds',
    '--publish-lead-seconds <n>',
    'how long a key is published before it signs',
  ),
  list('signing_algs', '--publish-alg <name>', 'an algorithm to publish keys of'),
  text('signing_alg', '--signing-alg <name>', 'default signing algorithm'),
  audienceAlgs(),
  seconds('max_key_lifetime_seconds', '--max-key-lifetime-seconds <n>', 'longest lifetime of an API key'),
  yesOrNo('unending_keys_allowed', '--unending-keys', 'whether API keys without expiry are allowed'),
  wholeNumber('max_live_keys_per_tenant', '--max-live-keys-per-tenant <n>', 'most live keys of one tenant'),
  wholeNumber(
    'tenant_writes_per_minute',
    '--tenant-writes-per-minute <n>',
    'most changes by the administrators of one tenant, per minute and replica',
  ),
  seconds(
    'usage_dedup_seconds',
    '--usage-dedup-seconds <n>',
    'how long usage may be reported after the request',
  ),
  wholeNumber('usage_retention_days', '--usage-retention-days <n>', 'how long totals of usage are kept'),
  yesOrNo('contact_required', '--contact-required', 'whether new tenants and keys must have a contact'),
]

function audienceAlgs(): FieldOption {
  const description = 'signing algorithm of an audience; "default" removes it (repeatable)'
  const option = new FieldOption(
    '--audience-alg <audience=alg>',
    description,
    ['audience_signing_algs'],
    (pairs: string[]) => ({
      audience_signing_algs: Object.fromEntries(pairs.map(pair => splitChoice(pair))),
    }),
  )
  return option.argParser((value: string, before: unknown) => {
    splitChoice(value)
    return collect(value, before)
  })
}

/** An audience may contain "=", an algorithm cannot. */
function splitChoice(pair: string): [string, string | null] {
  const equals = pair.lastIndexOf('=')
  if (equals < 1) throw new InvalidArgumentError('It must be audience=alg.')
  const alg = pair.slice(equals + 1)
  return [pair.slice(0, equals), alg === 'default' ? null : alg]
}

function yesOrNo(field: string, flag: string, description: string): FieldOption {
  const option = new FieldOption(`${flag} <yes|no>`, description, [field], (value: string) => ({
    [field]: value === 'yes',
  }))
  option.choices(['yes', 'no'])
  return option
}
