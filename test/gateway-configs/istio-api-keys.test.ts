import { expect, it } from 'vitest'
import { runsChart, startChartGateway } from '../cluster/chart-gateway.ts'
import { rawHttp } from '../support/raw-http.ts'
import { checkContract } from './check-contract.ts'
import type { Behind, Gateway } from './check-environment.ts'
import { ENVOYS_OWN, noEnvoy, startEnvoy, substitute } from './envoy.ts'
import { pilotConfig } from './pilot-config.ts'

/** Pilot's output for deploy/istio and deploy/istio/api-keys, with the keys as istiod fetches them. */
async function startIstio({ mintmark, ports }: Behind, more: [string, string][] = []): Promise<Gateway> {
  const { public: publicUrl } = mintmark.service.urls
  if (runsChart) {
    const changes = more.map(([from, to]): [string, string] => [inKubernetes(from), inKubernetes(to)])
    const own = { upstreamPort: ports.upstream, gatewayPort: ports.gateway, publicUrl, changes }
    return startChartGateway({ mode: 'apiKeys', ...own })
  }
  const inline = await (await fetch(`${publicUrl}/.well-known/jwks.json`)).text()
  const config = pilotConfig({
    upstreamPort: ports.upstream,
    jwks: { inline },
    applied: 'record-api-keys',
    gatewayPort: ports.gateway,
  })
  return startEnvoy(substitute(config, more))
}

/** A field of Envoy, as the DestinationRule names it. */
const inKubernetes = (text: string) => text.replace('idle_timeout', 'idleTimeout')

checkContract('deploy/istio/api-keys', {
  absent: noEnvoy,
  start: startIstio,
  startImpatient: behind => startIstio(behind, [['"idle_timeout":"4s"', '"idle_timeout":"0.2s"']]),
  credentials: ['key', 'token'],
  guide: 'docs/guides/istio.md',
  refusesBeforeBody: 'every',
  checks: { key: 'each', token: 'none' },
  asksAgain: false,
  entitles: true,
  salts: true,
  verifiesTokens: true,
  passedOn: ENVOYS_OWN,
  more: ({ environment }) => {
    it.skipIf(runsChart)(
      'answers 100 Continue where istiod has ENABLE_100_CONTINUE_HEADERS=false',
      async () => {
        const { behind, acme } = environment()
        const ask = (url: string) =>
          rawHttp(
            url,
            `POST /v1/chat/completions HTTP/1.1\r\nHost: inference.example.com\r\nAuthorization: Bearer ${acme.secret}\r\n` +
              'Content-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n',
          )
        const gateway = await startIstio(behind, [
          ['"proxy_100_continue": true', '"proxy_100_continue": false'],
        ])
        try {
          expect((await ask(gateway.url)).text).toMatch(/^HTTP\/1\.1 100 Continue\r\n/)
        } finally {
          await gateway.stop()
        }
      },
    )
  },
})
