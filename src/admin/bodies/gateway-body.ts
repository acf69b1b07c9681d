import { z } from 'zod'
import { count, instant } from './wire.ts'

const instance = z
  .strictObject({
    id: z.string().describe('What the gateway calls itself: `node.id` of Envoy.'),
    state: z
      .enum(['current', 'behind', 'rejected', 'unknown'])
      .describe(
        '`current`: it has the newest list. `behind`: it has not acknowledged that list. `rejected`: it rejected that list. `unknown`: the replica that it was connected to does not report any more.',
      ),
    replica: z.string().describe('Host of the replica that it is connected to.'),
    connections: count.describe('Number of connections with this id.'),
    connected_since: instant.describe('Start of the oldest connection.'),
    version: z
      .string()
      .nullable()
      .describe(
        'Version of the newest list that it acknowledged: an instant in epoch milliseconds. The list has every revocation until this instant. null: it acknowledged none on this connection.',
      ),
    behind_since: instant.nullable().describe('Since when it lacks the newest list.'),
    rejection: z
      .strictObject({
        reason: z.string().describe('The reason that the gateway gave.'),
        at: instant.describe('Time of the rejection.'),
      })
      .nullable()
      .describe('Its rejection of the newest list.'),
    contract: z
      .string()
      .nullable()
      .describe(
        'Number of the contract that its configuration file names. A file and Mintmark work together if they have the same number. null: the file names none.',
      ),
    enforces: z
      .array(z.string())
      .describe(
        'What its configuration file enforces: `revocations`, `limits`. Empty: the file does not say what it enforces.',
      ),
    envoy_version: z.string().nullable().describe('Version of Envoy.'),
  })
  .meta({ id: 'GatewayInstance', description: 'A gateway process that receives the list of revoked tokens.' })

export const gatewayBody = z
  .strictObject({
    name: z
      .string()
      .describe(
        'Name of its token in `MINTMARK_XDS_TOKENS`. If that token has no name, or there is no token: `node.cluster` of Envoy.',
      ),
    registered: z
      .boolean()
      .describe(
        'Whether a token in `MINTMARK_XDS_TOKENS` has this name. A registered gateway is expected to be connected.',
      ),
    state: z
      .enum(['current', 'behind', 'rejected', 'unknown', 'not_connected'])
      .describe('Worst state of its instances; `not_connected` without one.'),
    disconnected_at: instant
      .nullable()
      .describe(
        'Time when the last connection ended; null: the gateway is connected, or no running replica has seen it.',
      ),
    instances: z
      .array(instance)
      .describe('Its processes that are connected to any replica. Each replica reports at most 200.'),
  })
  .meta({
    id: 'Gateway',
    description: 'A gateway that receives the list of revoked tokens by xDS.',
    examples: [
      {
        name: 'inference',
        registered: true,
        state: 'current',
        disconnected_at: null,
        instances: [
          {
            id: 'envoy-6f7c9',
            state: 'current',
            replica: 'mintmark-0',
            connections: 1,
            connected_since: '2026-11-24T08:00:00.000Z',
            version: '1795510800000',
            behind_since: null,
            rejection: null,
            contract: '1',
            enforces: ['revocations'],
            envoy_version: '1.40.0',
          },
        ],
      },
    ],
  })

/** Of a revocation: which gateways have it. */
export const enforcementBody = z
  .strictObject({
    gateway: z.string().describe('Name of the gateway.'),
    instances: count.describe(
      'Number of its connected processes; 0 for a registered gateway that is not connected.',
    ),
    enforcing: count.describe(
      'Number of connected processes that have acknowledged a list with this revocation.',
    ),
  })
  .meta({ id: 'Enforcement', description: 'How many processes of a gateway reject the revoked tokens.' })
