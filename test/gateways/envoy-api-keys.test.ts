import { doorContract } from './door-contract.ts'
import { noEnvoy } from './envoy.ts'
import { deployedEnvoy } from './scene.ts'

/** What Envoy adds of its own. */
const ENVOYS = [
  ...['x-forwarded-for', 'x-forwarded-proto', 'x-request-id', 'x-envoy-attempt-count'],
  ...['x-envoy-expected-rq-timeout-ms', 'x-envoy-internal', 'x-envoy-external-address'],
]

doorContract('deploy/envoy/envoy-api-keys.yaml', {
  absent: noEnvoy,
  start: ({ ports }) =>
    deployedEnvoy(
      { jwks: ports.public, upstream: ports.upstream },
      [['address: mintmark, port_value: 8082', `address: 127.0.0.1, port_value: ${ports.gateway}`]],
      'envoy-api-keys.yaml',
    ),
  credentials: ['key', 'token'],
  entitles: true,
  verifiesTokens: true,
  passedOn: ENVOYS,
})
