import { checkContract } from './check-contract.ts'
import type { Behind } from './check-environment.ts'
import { deployedEnvoy } from './environment.ts'
import { ENVOYS_OWN, noEnvoy } from './envoy.ts'

const start = ({ ports }: Behind, more: [string, string][] = []) =>
  deployedEnvoy(
    { jwks: ports.public, upstream: ports.upstream },
    [['address: mintmark, port_value: 8082', `address: 127.0.0.1, port_value: ${ports.gateway}`], ...more],
    'envoy-api-keys.yaml',
  )

checkContract('deploy/envoy/envoy-api-keys.yaml', {
  absent: noEnvoy,
  start,
  startImpatient: behind => start(behind, [['{ idle_timeout: 4s }', '{ idle_timeout: 0.2s }']]),
  credentials: ['key', 'token'],
  guide: 'docs/guides/envoy.md',
  refusesBeforeBody: 'every',
  checks: { key: 'each', token: 'none' },
  entitles: true,
  salts: true,
  verifiesTokens: true,
  passedOn: ENVOYS_OWN,
})
