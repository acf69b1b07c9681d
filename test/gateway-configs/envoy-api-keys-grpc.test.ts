import { checkContract } from './check-contract.ts'
import { deployedEnvoy } from './environment.ts'
import { ENVOYS_OWN, noEnvoy } from './envoy.ts'

checkContract('deploy/envoy/envoy-api-keys-grpc.yaml', {
  absent: noEnvoy,
  start: ({ ports }) =>
    deployedEnvoy(
      { jwks: ports.public, upstream: ports.upstream },
      [
        ['address: mintmark, port_value: 8082', `address: 127.0.0.1, port_value: ${ports.gateway}`],
        ['address: mintmark, port_value: 8083', `address: 127.0.0.1, port_value: ${ports.gatewayGrpc}`],
      ],
      'envoy-api-keys-grpc.yaml',
    ),
  credentials: ['key', 'token'],
  refusesBeforeBody: 'every',
  checks: { key: 'each', token: 'none' },
  entitles: true,
  verifiesTokens: true,
  passedOn: ENVOYS_OWN,
})
