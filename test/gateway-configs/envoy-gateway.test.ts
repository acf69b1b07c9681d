import { expect, it } from 'vitest'
import { checkContract } from './check-contract.ts'
import { ENVOYS_OWN, noEnvoy, startEnvoy } from './envoy.ts'
import { appliedFiles, digestOf } from './envoy-gateway/applied.ts'
import { envoyGatewayConfig, envoyGatewayRecord } from './envoy-gateway-config.ts'

checkContract('deploy/envoy-gateway', {
  absent: noEnvoy,
  start: ({ ports }) =>
    startEnvoy(envoyGatewayConfig({ 8000: ports.upstream, 8080: ports.public, 8082: ports.gateway })),
  credentials: ['key', 'token'],
  guide: 'docs/guides/envoy-gateway.md',
  refusesBeforeBody: 'every',
  checks: { key: 'each', token: 'none' },
  entitles: true,
  verifiesTokens: true,
  explains: false,
  passedOn: ENVOYS_OWN,
})

it('the record was made from the current files (envoy-gateway/record.ts)', () => {
  expect(envoyGatewayRecord().madeFrom).toBe(digestOf(appliedFiles()))
})
