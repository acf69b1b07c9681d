import { expect, it } from 'vitest'
import { checkContract } from './check-contract.ts'
import type { Behind } from './check-environment.ts'
import { ENVOYS_OWN, noEnvoy, startEnvoy, substitute } from './envoy.ts'
import { appliedFiles, digestOf, RECORDS } from './envoy-gateway/applied.ts'
import { envoyGatewayConfig, envoyGatewayRecord } from './envoy-gateway-config.ts'

const config = ({ ports }: Behind) =>
  envoyGatewayConfig({ 8000: ports.upstream, 8080: ports.public, 8082: ports.gateway })

checkContract('deploy/envoy-gateway', {
  absent: noEnvoy,
  start: behind => startEnvoy(config(behind)),
  startImpatient: behind =>
    startEnvoy(substitute(config(behind), [['"idleTimeout":"4s"', '"idleTimeout":"0.2s"']])),
  credentials: ['key', 'token'],
  guide: 'docs/guides/envoy-gateway.md',
  refusesBeforeBody: 'every',
  checks: { key: 'each', token: 'none' },
  entitles: true,
  salts: true,
  verifiesTokens: true,
  explains: false,
  explainsMalformed: false,
  missingForAllPages: true,
  passedOn: ENVOYS_OWN,
})

it('the record was made from the current files (envoy-gateway/record.ts)', () => {
  for (const name of RECORDS) expect(envoyGatewayRecord(name).madeFrom).toBe(digestOf(appliedFiles(name)))
})
