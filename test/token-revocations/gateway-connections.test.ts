import { expect, it } from 'vitest'
import {
  type GatewayConnection,
  GatewayConnections,
} from '../../src/token-revocations/gateway-connections.ts'

const connection = (version: string | undefined): GatewayConnection => ({
  gateway: 'inference',
  node: { id: 'envoy-1', cluster: 'edge', envoyVersion: undefined, contract: undefined, enforces: [] },
  connectedSince: 1,
  acknowledged: version === undefined ? undefined : { version },
  behindSince: undefined,
  behindMs: 0,
  rejection: undefined,
})

it.each([
  ['10', ['10']],
  ['9', ['10', '9', '11']],
  [null, ['10', undefined]],
])('an instance has the version %s, the oldest of those of its connections: %j', (version, acknowledged) => {
  const connections = new GatewayConnections({ registered: ['inference'], now: () => 1 })
  for (const each of acknowledged) connections.add(connection(each))
  expect(connections.report.instances).toMatchObject([{ connections: acknowledged.length, version }])
})
