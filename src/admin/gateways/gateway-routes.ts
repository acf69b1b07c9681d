import type { Enforcement, Gateway, Gateways } from '../../token-revocations/gateways.ts'
import { ok } from '../answer.ts'
import { gatewayBody } from '../bodies/gateway-body.ts'
import { whole } from '../bodies/wire.ts'
import { type AdminRoute, route } from '../route.ts'

/** The gateways that receive the list of revoked tokens. */
export function gatewayRoutes(gateways: Gateways): AdminRoute[] {
  return [
    route({
      operation: 'listGateways',
      summary: 'List gateways',
      details:
        'Gateways that are connected to any replica by xDS, and gateways with a name in `MINTMARK_XDS_TOKENS` (registered gateways) that are not connected. Connections to replicas other than the one that answers are updated every 5 seconds. Gateways that call the check (`/check`), read the list of revoked tokens from a file, or do not have that list are not shown.',
      answers: { 200: whole(gatewayBody) },
      method: 'get',
      path: '/gateways',
      right: 'gateways:read',
      // Without paging: bounded by the names of tokens and by what a replica reports.
      handle: async () => ok({ data: (await gateways.list()).map(toWire), next_cursor: null }),
    }),
  ]
}

const toWire = ({ name, registered, state, disconnectedAt, instances }: Gateway) => ({
  name,
  registered,
  state,
  disconnected_at: instantOf(disconnectedAt),
  instances: instances.map(instance => ({
    id: instance.id,
    state: instance.state,
    replica: instance.replica,
    connections: instance.connections,
    connected_since: new Date(instance.connectedSince),
    version: instance.version,
    behind_since: instantOf(instance.behindSince),
    rejection: instance.rejection && {
      reason: instance.rejection.reason,
      at: new Date(instance.rejection.at),
    },
    contract: instance.contract,
    enforces: instance.enforces,
    envoy_version: instance.envoyVersion,
  })),
})

const instantOf = (at: number | null) => (at === null ? null : new Date(at))

export const enforcementToWire = ({ gateway, instances, enforcing }: Enforcement) => ({
  gateway,
  instances,
  enforcing,
})
