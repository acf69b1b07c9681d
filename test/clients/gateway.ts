import { deployedEnvoy, startMintmark } from '../gateway-configs/environment.ts'
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts'
import type { TestService } from '../support/test-service.ts'
import { startTokenServiceProxy, type TokenServiceProxy } from './token-service-proxy.ts'

/** A gateway for OpenAI clients: deploy/envoy before an engine, and a Mintmark with tokens of one hour. */
export interface Gateway {
  mintmark: TestService
  tokenService: TokenServiceProxy
  upstream: RecordingUpstream
  /** The base URL of an OpenAI client. */
  baseURL: string
  /** A tenant with `acme-sql`, in the tier premium, and its key. */
  tenant(): Promise<{ tenantId: string; keyId: string; secret: string }>
  stop(): Promise<void>
}

export async function startGateway(): Promise<Gateway> {
  const mintmark = await startMintmark()
  const { public: publicUrl } = mintmark.service.urls
  const upstream = await startRecordingUpstream()
  const envoy = await deployedEnvoy({ jwks: Number(new URL(publicUrl).port), upstream: upstream.port })
  const tokenService = await startTokenServiceProxy(publicUrl)
  return {
    mintmark,
    tokenService,
    upstream,
    baseURL: `${envoy.url}/v1`,
    tenant: () =>
      mintmark.tenantWithKey({ tier: 'premium', allowed_tiers: ['premium'], adapters: ['acme-sql'] }),
    stop: async () => {
      await tokenService.stop()
      await envoy.stop()
      await upstream.stop()
      await mintmark.stop()
    },
  }
}
