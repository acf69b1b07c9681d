import { expect, it } from 'vitest'
import { until } from '../support/until.ts'
import { checkContract } from './check-contract.ts'
import type { Behind, Gateway } from './check-environment.ts'
import { send } from './client.ts'
import { deployedEnvoy } from './environment.ts'
import { ENVOYS_OWN, noEnvoy } from './envoy.ts'

/** What rate limits can read of a request, in its line of the log. */
const ACCESS_LOG = `access_log:
                  - name: envoy.access_loggers.stdout
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog
                      log_format:
                        json_format:
                          agent: "%REQ(USER-AGENT)%"
                          checked: "%DYNAMIC_METADATA(envoy.filters.http.ext_authz)%"
                          verified: "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:payload)%"
                          one: "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:limits:tenant:requests:requests_per_unit)%"
`

/** Checks at the same time on a new connection: Mintmark takes 200 on each. */
const MORE_THAN_STREAMS = 500

async function start(
  { ports }: Behind,
  more: [string, string][] = [],
): Promise<Gateway & { adminUrl: string }> {
  const envoy = await deployedEnvoy(
    { jwks: ports.public, upstream: ports.upstream },
    [
      ['address: mintmark, port_value: 8082', `address: 127.0.0.1, port_value: ${ports.gateway}`],
      ['address: mintmark, port_value: 8083', `address: 127.0.0.1, port_value: ${ports.gatewayGrpc}`],
      ['access_log:\n', ACCESS_LOG],
      ...more,
    ],
    'envoy-api-keys-grpc.yaml',
  )
  return { ...envoy, output: envoy.log }
}

checkContract('deploy/envoy/envoy-api-keys-grpc.yaml', {
  absent: noEnvoy,
  start,
  startImpatient: behind => start(behind, [['{ idle_timeout: 4s }', '{ idle_timeout: 0.2s }']]),
  credentials: ['key', 'token'],
  refusesBeforeBody: 'every',
  checks: { key: 'each', token: 'none' },
  entitles: true,
  salts: true,
  verifiesTokens: true,
  passedOn: ENVOYS_OWN,
  more: ({ environment }) => {
    it('begins no more checks on a new connection than Mintmark takes', async () => {
      const { behind, acme } = environment()
      // However slow the machine is.
      const gateway = await start(behind, [['  timeout: 5s', '  timeout: 60s']])
      try {
        const answers = await Promise.all(
          Array.from({ length: MORE_THAN_STREAMS }, (_, i) =>
            send(gateway.url, { token: acme.secret, localAddress: `127.0.2.${1 + (i % 50)}` }),
          ),
        )
        expect(answers.filter(({ status }) => status !== 200)).toEqual([])
        const stats = await (await fetch(`${gateway.adminUrl}/stats?usedonly&filter=mintmark_grpc`)).text()
        expect(stats).not.toMatch(/http2\.rx_reset|upstream_rq_retry/)
      } finally {
        await gateway.stop()
      }
    })

    const requests = { requests_per_unit: 600, unit: 'MINUTE' }
    const tokens_daily = { requests_per_unit: 4_294_967_295, unit: 'DAY' }
    const own = { requests_per_unit: 60, unit: 'MINUTE' }
    const limits = { tenant: { requests, tokens_daily }, key: { requests: own } }
    const logged = async (credential: 'secret' | 'token') => {
      const { gateway, acme } = environment()
      // Lines of earlier requests may be written later.
      const agent = `reader-of-the-${credential}`
      const headers: [string, string][] = [['User-Agent', agent]]
      expect((await send(gateway.url, { token: acme[credential], headers })).status).toBe(200)
      const line = () =>
        gateway
          .output?.()
          .match(/^\{.*\}\n/gm)
          ?.find(each => each.includes(agent))
      return JSON.parse((await until('its line in the access log', line)) ?? '')
    }

    it('rate limits find the limits of an API key in the metadata of the check', async () => {
      const { tenantId, keyId } = environment().acme
      expect(await logged('secret')).toMatchObject({
        checked: {
          ...{ tenant: tenantId, sub: keyId, limits },
          ...{ tenant_requests: requests, tenant_tokens_daily: tokens_daily, key_requests: own },
        },
        one: 600,
      })
    })

    it('rate limits find the limits of a token in its verified payload', async () => {
      const { tenantId, keyId } = environment().acme
      expect(await logged('token')).toMatchObject({ verified: { tenant: tenantId, sub: keyId, limits } })
    })
  },
})
