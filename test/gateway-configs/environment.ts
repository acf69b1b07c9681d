import { readFileSync } from 'node:fs'
import { ISSUER } from '../../deploy/generate/example.ts'
import { runsChart, startChartGateway } from '../cluster/chart-gateway.ts'
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { type Envoy, startEnvoy, substitute } from './envoy.ts'
import { type Applied, type JwksMode, pilotConfig } from './pilot-config.ts'

/** The gateways that every guarantee is tested on. */
export const GATEWAYS = [
  'deploy/envoy',
  'deploy/istio, istiod fetches',
  'deploy/istio, Envoy fetches',
  'deploy/istio/static',
] as const
type GatewayName = (typeof GATEWAYS)[number]

export interface Gateways {
  upstream: RecordingUpstream
  gateways: Record<GatewayName, Envoy>
  stop(): Promise<void>
}

/** deploy/envoy/envoy.yaml itself, or its neighbour, with the addresses that a user would change. */
export function deployedEnvoy(
  ports: { jwks: number; upstream: number },
  more: [string, string][] = [],
  name = 'envoy.yaml',
  program?: string,
): Promise<Envoy> {
  const file = readFileSync(new URL(`../../deploy/envoy/${name}`, import.meta.url), 'utf8')
  return startEnvoy(substitute(file, [...deployedAt(ports), ...more]), program)
}

/** The changes that let a file of deploy/envoy run here. */
export const deployedAt = (ports: { jwks: number; upstream: number }): [string, string][] => [
  ['address: mintmark, port_value: 8080', `address: 127.0.0.1, port_value: ${ports.jwks}`],
  ['address: vllm, port_value: 8000', `address: 127.0.0.1, port_value: ${ports.upstream}`],
  ['address: 0.0.0.0, port_value: 10000', 'address: 127.0.0.1, port_value: 0'],
  ['address: 127.0.0.1, port_value: 9901', 'address: 127.0.0.1, port_value: 0'],
]

/** All of them in front of one upstream, with the keys that `publicUrl` publishes. */
export async function startGateways(publicUrl: string): Promise<Gateways> {
  const upstream = await startRecordingUpstream()
  const jwks = Number(new URL(publicUrl).port)
  const inline = await (await fetch(`${publicUrl}/.well-known/jwks.json`)).text()
  const istio = (source: JwksMode, applied: Applied = 'record') => {
    const mode = applied === 'record' ? 'tokens' : 'static'
    if (runsChart && 'inline' in source)
      return startChartGateway({ mode, upstreamPort: upstream.port, publicUrl })
    return startEnvoy(pilotConfig({ upstreamPort: upstream.port, jwks: source, applied }))
  }
  const envoys = await Promise.all([
    deployedEnvoy({ jwks, upstream: upstream.port }),
    istio({ inline }),
    istio({ remote: { port: jwks } }),
    istio({ inline }, 'record-static'),
  ])
  return {
    upstream,
    gateways: Object.fromEntries(GATEWAYS.map((name, i) => [name, envoys[i]])) as Record<GatewayName, Envoy>,
    stop: async () => {
      await Promise.all(envoys.map(envoy => envoy.stop()))
      await upstream.stop()
    },
  }
}

export interface Environment extends Gateways {
  mintmark: TestService
  /** A fresh token of each tenant, from the real service over HTTP. */
  tokens: Record<'acme' | 'globex' | 'initech', string>
}

/** A real Mintmark with three tenants of three tiers, and the gateways that trust it. */
export async function startEnvironment(): Promise<Environment> {
  const mintmark = await startMintmark()
  const gateways = await startGateways(mintmark.service.urls.public)
  return {
    ...gateways,
    mintmark,
    tokens: {
      acme: await tokenOf(mintmark, {
        id: 'acme',
        tier: 'premium',
        allowed_tiers: ['premium'],
        adapters: ['acme-sql', 'acme-chat'],
        limits: { requests_per_minute: 600, tokens_per_day: 4_294_967_295 },
      }),
      globex: await tokenOf(mintmark, {
        id: 'globex',
        tier: 'batch',
        allowed_tiers: ['batch'],
        adapters: ['globex-sql'],
      }),
      initech: await tokenOf(mintmark, { id: 'initech', models: ['llama-3-8b'] }),
    },
    stop: async () => {
      await gateways.stop()
      await mintmark.stop()
    },
  }
}

/** Three base models, three adapters, tokens that are valid for an hour. */
export async function startMintmark(env: Record<string, string> = {}): Promise<TestService> {
  const mintmark = await startTestService({
    env: { MINTMARK_ISSUER: ISSUER, MINTMARK_TOKEN_TTL_SECONDS: '3600', ...env },
  })
  await put(mintmark, '/models/llama-3-8b', {})
  await put(mintmark, '/models/mistralai/Mistral-7B', {})
  // As vLLM names a model that it serves from a folder.
  await put(mintmark, '/models//models/Llama-3.1', { max_model_len: 8192 })
  for (const adapter of ['acme-sql', 'acme-chat', 'globex-sql']) {
    await put(mintmark, `/adapters/${adapter}`, { base_model: 'llama-3-8b' })
  }
  return mintmark
}

async function put(mintmark: TestService, path: string, body: object): Promise<void> {
  const [, collection, ...name] = path.split('/')
  const { status, text } = await mintmark.admin(
    'PUT',
    `/${collection}/${encodeURIComponent(name.join('/'))}`,
    body,
  )
  if (status >= 300) throw new Error(`${path} was refused: ${text}`)
}

export async function tokenOf(
  mintmark: TestService,
  tenant: Record<string, unknown>,
  more: Record<string, string> = {},
) {
  const { secret } = await mintmark.tenantWithKey(tenant)
  const answer = await mintmark.token({ grant_type: 'client_credentials', client_secret: secret, ...more })
  if (answer.status !== 200) throw new Error(`no token: ${answer.text}`)
  return answer.body.access_token as string
}
