import { checkContract } from './check-contract.ts'
import type { Behind, Gateway } from './check-environment.ts'
import { ENVOYS_OWN, noEnvoy, startEnvoy } from './envoy.ts'
import { pilotConfig } from './pilot-config.ts'

/** Pilot's output for deploy/istio and deploy/istio/api-keys, with the keys as istiod fetches them. */
async function startIstio({ mintmark, ports }: Behind): Promise<Gateway> {
  const inline = await (await fetch(`${mintmark.service.urls.public}/.well-known/jwks.json`)).text()
  return startEnvoy(
    pilotConfig({
      upstreamPort: ports.upstream,
      jwks: { inline },
      applied: 'record-api-keys',
      gatewayPort: ports.gateway,
    }),
  )
}

checkContract('deploy/istio/api-keys', {
  absent: noEnvoy,
  start: startIstio,
  credentials: ['key', 'token'],
  guide: 'docs/guides/istio.md',
  refusesBeforeBody: 'every',
  checks: { key: 'each', token: 'none' },
  entitles: true,
  verifiesTokens: true,
  passedOn: ENVOYS_OWN,
})
