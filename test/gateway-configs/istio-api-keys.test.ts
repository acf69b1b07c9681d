import { checkContract } from './check-contract.ts'
import type { Behind, Gateway } from './check-environment.ts'
import { ENVOYS_OWN, noEnvoy, startEnvoy, substitute } from './envoy.ts'
import { pilotConfig } from './pilot-config.ts'

/** Pilot's output for deploy/istio and deploy/istio/api-keys, with the keys as istiod fetches them. */
async function startIstio({ mintmark, ports }: Behind, more: [string, string][] = []): Promise<Gateway> {
  const inline = await (await fetch(`${mintmark.service.urls.public}/.well-known/jwks.json`)).text()
  const config = pilotConfig({
    upstreamPort: ports.upstream,
    jwks: { inline },
    applied: 'record-api-keys',
    gatewayPort: ports.gateway,
  })
  return startEnvoy(substitute(config, more))
}

checkContract('deploy/istio/api-keys', {
  absent: noEnvoy,
  start: startIstio,
  startImpatient: behind => startIstio(behind, [['"idle_timeout":"4s"', '"idle_timeout":"0.2s"']]),
  credentials: ['key', 'token'],
  guide: 'docs/guides/istio.md',
  refusesBeforeBody: 'every',
  checks: { key: 'each', token: 'none' },
  entitles: true,
  salts: true,
  verifiesTokens: true,
  passedOn: ENVOYS_OWN,
})
