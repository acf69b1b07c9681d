import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { meaningOf } from '../../src/refusal-reasons.ts'
import { withAnotherSignature } from '../support/altered.ts'
import { freePort } from '../support/free-port.ts'
import { until } from '../support/until.ts'
import { startCaddy } from './caddy.ts'
import {
  type Behind,
  type CheckEnvironment,
  type Gateway,
  startCheckEnvironment,
} from './check-environment.ts'
import { send } from './client.ts'
import { deployedEnvoy } from './environment.ts'
import { noEnvoy, startEnvoy } from './envoy.ts'
import { envoyGatewayConfig } from './envoy-gateway-config.ts'
import { startHaproxy } from './haproxy.ts'
import { startNginx } from './nginx.ts'
import { type Applied, pilotConfig } from './pilot-config.ts'
import { isAbsent } from './program.ts'
import { startTestMint, type TestMint } from './test-mint.ts'

/** deploy/envoy itself, in front of this Mintmark. */
const envoy =
  (name: string) =>
  async ({ ports }: Behind): Promise<Gateway> => {
    const addresses: [string, string][] = [
      ['address: mintmark, port_value: 8082', `address: 127.0.0.1, port_value: ${ports.gateway}`],
      ['address: mintmark, port_value: 8083', `address: 127.0.0.1, port_value: ${ports.gatewayGrpc}`],
    ]
    const used = name === 'envoy.yaml' ? [] : name.includes('grpc') ? addresses : addresses.slice(0, 1)
    const running = await deployedEnvoy({ jwks: ports.public, upstream: ports.upstream }, used, name)
    return { ...running, output: running.log }
  }

/** Pilot's output for deploy/istio, on a stock Envoy. */
const istio =
  (applied: Applied) =>
  async ({ mintmark, ports }: Behind): Promise<Gateway> => {
    const inline = await (await fetch(`${mintmark.service.urls.public}/.well-known/jwks.json`)).text()
    const { upstream: upstreamPort, gateway: gatewayPort } = ports
    const running = await startEnvoy(pilotConfig({ upstreamPort, gatewayPort, applied, jwks: { inline } }))
    return { ...running, output: running.log }
  }

/** Envoy Gateway's output for deploy/envoy-gateway, on a stock Envoy. */
async function envoyGateway({ ports }: Behind): Promise<Gateway> {
  const config = envoyGatewayConfig({ 8000: ports.upstream, 8080: ports.public, 8082: ports.gateway })
  const running = await startEnvoy(config)
  return { ...running, output: running.log }
}

const SENT = { model: 'llama-3-8b', messages: [] }

interface Logging {
  gateway: string
  start: (behind: Behind) => Promise<Gateway>
  absent: boolean
  env?: Record<string, string>
  takesKeys: boolean
  /** The reason of no credential, if it is another one. */
  missing?: 'not_allowed'
  /** The reasons of a token that does not verify, and of a model that it does not have; undefined: it does not read the body. */
  token?: 'token_invalid'
  model?: 'not_allowed' | 'model_not_allowed'
}

const ENVOY = { gateway: 'envoy', absent: noEnvoy, model: 'not_allowed' } as const
const LOGGING: Record<string, Logging> = {
  'envoy/envoy.yaml': { ...ENVOY, start: envoy('envoy.yaml'), takesKeys: false },
  'envoy/envoy-api-keys.yaml': { ...ENVOY, start: envoy('envoy-api-keys.yaml'), takesKeys: true },
  'envoy/envoy-api-keys-grpc.yaml': { ...ENVOY, start: envoy('envoy-api-keys-grpc.yaml'), takesKeys: true },
  'istio/envoy-filter.yaml': {
    ...{ ...ENVOY, gateway: 'istio', start: istio('record'), takesKeys: false, missing: 'not_allowed' },
  },
  'istio/api-keys': { ...ENVOY, gateway: 'istio', start: istio('record-api-keys'), takesKeys: true },
  'envoy-gateway': { ...ENVOY, gateway: 'envoy-gateway', start: envoyGateway, takesKeys: true },
  'nginx/nginx.conf': {
    ...{ gateway: 'nginx', start: startNginx, absent: isAbsent('nginx'), takesKeys: true },
    ...{ token: 'token_invalid', model: 'model_not_allowed' },
  },
  'haproxy/haproxy.cfg': {
    ...{ gateway: 'haproxy', start: startHaproxy, absent: isAbsent('haproxy'), takesKeys: false },
    ...{ token: 'token_invalid', model: 'model_not_allowed', env: { MINTMARK_SIGNING_ALG: 'RS256' } },
  },
  'caddy/Caddyfile': {
    ...{ gateway: 'http.log.access.log0', start: startCaddy, absent: isAbsent('caddy'), takesKeys: true },
  },
}

describe.each(Object.entries(LOGGING))(
  'the log of deploy/%s',
  (_, { gateway: named, start, absent, takesKeys, missing, token, model, env }) => {
    describe.skipIf(absent)('of refusals', () => {
      let environment: CheckEnvironment
      let mint: TestMint
      beforeAll(async () => {
        environment = await startCheckEnvironment(start, { MINTMARK_GATEWAY_REASON: 'exact', ...env })
        mint = await startTestMint()
      })
      afterAll(async () => {
        await environment.stop()
        await mint.stop()
      })

      /** Caddy has other lines too, and all of them, at any time, that of the first request (`startProgram`): 404. */
      const linesOf = (gateway: Gateway) =>
        (gateway.output?.() ?? '')
          .split('\n')
          .slice(0, -1)
          .filter(line => line.startsWith('{') && line.includes('"gateway":'))
          .filter(line => Number(JSON.parse(line).status) !== 404)

      /** The line that the request has added, and the answer. */
      async function refused(
        headers: [string, string][],
        body: object = SENT,
        gateway: Gateway = environment.gateway,
      ) {
        const before = linesOf(gateway).length
        const answer = await send(gateway.url, { headers, body: JSON.stringify(body) })
        await until('the refusal is logged', () => linesOf(gateway).length > before)
        return { answer, line: JSON.parse(linesOf(gateway)[before] ?? '{}') }
      }
      const bearer = (credential: string): [string, string][] => [['Authorization', `Bearer ${credential}`]]
      const revokedKey = async () => {
        const { keyId, secret } = await environment.holder()
        await environment.mintmark.admin('POST', `/keys/${keyId}/revoke`, {})
        return secret
      }

      type Case = [string, () => Promise<[string, string][]> | [string, string][], object?]
      it.each<Case>([
        [missing ?? 'missing_credential', () => []],
        [token ?? 'token_signature', async () => bearer(withAnotherSignature(environment.acme.token))],
        [token ?? 'token_unknown_key', async () => bearer(await mint.sign({}, { kid: 'A'.repeat(43) }))],
        ...(model
          ? ([
              [model, () => bearer(environment.acme.token), { ...SENT, model: 'globex-sql' }],
              ['invalid_body', () => bearer(environment.acme.token), { messages: [] }],
            ] as Case[])
          : []),
        ...(takesKeys
          ? ([
              ['malformed', () => bearer('hunter2')],
              ['ambiguous_credential', () => [...bearer(environment.acme.token), ['x-api-key', 'other']]],
              ['key_revoked', async () => bearer(await revokedKey())],
            ] as Case[])
          : []),
      ])('has the reason %s, which the client does not read', async (reason, headers, body) => {
        const { answer, line } = await refused(await headers(), body)
        expect(line).toMatchObject({ gateway: named, reason, status: answer.status })
        expect(meaningOf(reason)).toBeDefined()
        const read = answer.text + JSON.stringify(answer.headers)
        if (reason === 'key_revoked') {
          expect(read).not.toContain('revoked"')
          expect(read).not.toContain('x-mintmark-')
          // One id finds the refusal at the gateway and at Mintmark.
          const checkId = line.check_request_id ?? line.resp_headers['X-Request-Id'][0]
          const explained = await environment.mintmark.admin('POST', '/explain', {
            request_id: line.request_id ?? checkId,
          })
          expect(explained.body.recent_refusals).toMatchObject([
            {
              ...{ reason, request_id: checkId },
              ...(line.request_id && { gateway_request_id: line.request_id }),
            },
          ])
        }
      })

      it.each([
        ['engine_unavailable', { upstream: true }],
        ...(takesKeys ? [['check_unreachable', { gateway: true, gatewayGrpc: true }] as const] : []),
      ] as const)('has the reason %s', async (reason, down: Partial<Record<string, boolean>>) => {
        const { behind, acme } = environment
        const closed = await freePort()
        const ports = Object.entries(behind.ports).map(([name, port]) => [name, down[name] ? closed : port])
        const other = await start({ ...behind, ports: Object.fromEntries(ports) })
        try {
          const { answer, line } = await refused(
            bearer(takesKeys ? acme.secret : acme.token),
            { ...SENT },
            other,
          )
          expect(line).toMatchObject({ gateway: named, reason, status: answer.status })
          expect(answer.status).toBe(503)
        } finally {
          await other.stop()
        }
      })

      it('has nothing of what is allowed, and no credential', async () => {
        const { gateway, acme, mintmark } = environment
        const before = linesOf(gateway).length
        expect(
          (await send(gateway.url, { headers: bearer(acme.token), body: JSON.stringify(SENT) })).status,
        ).toBe(200)
        await refused([])
        expect(linesOf(gateway)).toHaveLength(before + 1)
        for (const secret of [acme.secret, acme.token, mintmark.rootToken])
          expect(gateway.output?.()).not.toContain(secret)
      })
    })
  },
)
