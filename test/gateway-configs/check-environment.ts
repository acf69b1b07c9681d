import { CLAIM_HEADERS } from '../../src/gateway/headers.ts'
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts'
import type { TestService } from '../support/test-service.ts'
import { startMintmark } from './environment.ts'

/** A running gateway in front of the engine. */
export interface Gateway {
  url: string
  /** What it wrote to its log so far. */
  output?(): string
  stop(): Promise<void>
}

/** The addresses in a gateway's file, for this test. */
export interface Behind {
  mintmark: TestService
  ports: { public: number; gateway: number; gatewayGrpc: number; upstream: number }
}

interface Holder {
  tenantId: string
  keyId: string
  secret: string
  token: string
}

export interface CheckEnvironment {
  mintmark: TestService
  upstream: RecordingUpstream
  gateway: Gateway
  /** For a second gateway, with changes. */
  behind: Behind
  acme: Holder
  /** Another tenant with a key, or with special settings. */
  holder(tenant?: Record<string, unknown>, key?: Record<string, unknown>): Promise<Holder>
  stop(): Promise<void>
}

/** The engine's headers for acme, whichever credential was used. */
const ACME: Record<string, string> = {
  tenant: 'acme',
  tier: 'premium',
  priority: '-10',
  adapter_list: 'acme-sql acme-chat',
}
export const ACME_HEADERS = Object.fromEntries(
  CLAIM_HEADERS.map(({ claim, header }) => [header, ACME[claim]]),
)

/** A real Mintmark, a recording engine, and the gateway between them and the client. */
export async function startCheckEnvironment(
  start: (behind: Behind) => Promise<Gateway>,
  env: Record<string, string> = {},
): Promise<CheckEnvironment> {
  const mintmark = await startMintmark(env)
  const upstream = await startRecordingUpstream()
  const { urls } = mintmark.service
  const portOf = (url: string) => Number(new URL(url).port)
  const ports = {
    public: portOf(urls.public),
    gateway: portOf(urls.gateway),
    gatewayGrpc: portOf(urls.gatewayGrpc),
    upstream: upstream.port,
  }
  const behind = { mintmark, ports }
  const gateway = await start(behind)
  const holder: CheckEnvironment['holder'] = async (tenant = {}, key = {}) => {
    const made = await mintmark.tenantWithKey({ audiences: ['vllm', 'billing'], ...tenant }, key)
    const answer = await mintmark.token({ grant_type: 'client_credentials', client_secret: made.secret })
    return { ...made, token: answer.body?.access_token }
  }
  return {
    mintmark,
    upstream,
    gateway,
    behind,
    acme: await holder(
      {
        ...{ id: 'acme', tier: 'premium', allowed_tiers: ['premium'] },
        adapters: ['acme-sql', 'acme-chat'],
        limits: { requests_per_minute: 600, tokens_per_day: 4_294_967_295 },
      },
      { limits: { requests_per_minute: 60 } },
    ),
    holder,
    stop: async () => {
      await gateway.stop()
      await upstream.stop()
      await mintmark.stop()
    },
  }
}
