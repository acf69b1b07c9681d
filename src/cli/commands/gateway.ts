import type { Command } from 'commander'
import { moment, type View } from '../output.ts'
import { action, noun, resultVerb } from '../verb.ts'

interface Instance {
  id: string
  state: string
  replica: string
  contract: string | null
  envoy_version: string | null
  connected_since: string
  behind_since: string | null
  rejection: { reason: string; at: string } | null
}

interface Gateway {
  name: string
  registered: boolean
  state: string
  disconnected_at: string | null
  instances: Instance[]
}

/** A gateway's process, or a gateway without one. */
type Row = Pick<Gateway, 'name' | 'registered' | 'state'> & { instance: Instance | undefined; note: string }

const VIEW: View<Row> = {
  plural: 'gateways',
  id: row => row.name,
  columns: [
    { title: 'GATEWAY', of: ({ name, registered }) => (registered ? name : `${name} (not registered)`) },
    { title: 'INSTANCE', of: ({ instance }) => instance?.id ?? '-', cut: true },
    { title: 'STATE', of: ({ state }) => state, state: true },
    { title: 'CONTRACT', of: ({ instance }) => instance?.contract ?? '-' },
    { title: 'ENVOY', of: ({ instance }) => instance?.envoy_version ?? '-' },
    { title: 'REPLICA', of: ({ instance }) => instance?.replica ?? '-', cut: true, optional: true },
    {
      title: 'CONNECTED',
      of: ({ instance }) => (instance ? moment(instance.connected_since) : '-'),
      optional: true,
    },
    { title: 'NOTE', of: ({ note }) => note || '-', cut: true },
  ],
}

export function gatewayCommands(program: Command, environment: NodeJS.ProcessEnv): void {
  const parent = noun(program, 'gateway', {
    summary: 'gateways that receive the list of revoked tokens',
    examples: ['mintmark gateway list'],
  })
  const all = resultVerb(parent, 'list', {
    summary: 'list gateways: those that are connected by xDS, and registered ones that are not',
    details:
      'Other gateways are not known to Mintmark: they call the check, or accept a token until it expires.',
    examples: ['mintmark gateway list', 'mintmark gateway list -o json'],
  })
  all.action(
    action(environment, async ({ admin, output }) => {
      const { data: gateways } = await admin.get<{ data: Gateway[] }>('/gateways')
      if (all.opts().output === 'json') return output.json(gateways)
      await output.list(gateways.flatMap(rowsOf), VIEW)
    }),
  )
}

function rowsOf({ name, registered, state, disconnected_at, instances }: Gateway): Row[] {
  if (instances.length === 0) {
    const note = disconnected_at === null ? '' : `disconnected ${moment(disconnected_at)}`
    return [{ name, registered, state, instance: undefined, note }]
  }
  return instances.map(instance => ({
    name,
    registered,
    state: instance.state,
    instance,
    note: noteOf(instance),
  }))
}

function noteOf({ rejection, behind_since }: Instance): string {
  if (rejection) return `rejected ${moment(rejection.at)}: ${rejection.reason}`
  return behind_since === null ? '' : `behind since ${moment(behind_since)}`
}
