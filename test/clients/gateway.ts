import { deployedEnvoy, startMintmark } from '../gateway-configs/environment.ts'
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts'
import type { TestService } from '../support/test-service.ts'
import { startTokenServiceProxy, type TokenServiceProxy } from './token-service-proxy.ts'

/** Where OpenAI clients go: deploy/envoy before an engine, and a Mintmark whose tokens live an hour. */
export interface Gateway {
  mintmark: TestService
  tokenService: TokenServiceProxy
  upstream: RecordingUpstream
  /** What an OpenAI client takes as its base URL. */
  baseURL: string
  /** A tenant of its own with `acme-sql`, in the tier premium, and its key. */
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
