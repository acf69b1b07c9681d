import { ISSUER } from '../../../deploy/generate/example.ts'
import { GATEWAY_FILES, type GatewayFile, istio } from '../../attacks/gateways.ts'
import type { Environment } from '../../faults/environment/environment.ts'
import type { Gateway } from '../../gateway-configs/check-environment.ts'
import { noEnvoy } from '../../gateway-configs/envoy.ts'
import { startTalkingEngine, type TalkingEngine } from '../talking-engine.ts'

export const MODEL = 'llama-3-8b'
/** An adapter of another tenant. */
export const FOREIGN_MODEL = 'globex-sql'

export type Kind = 'key' | 'token'

/** A gateway with a file of deploy/, and what clients may expect of it. */
export interface Subject extends Pick<GatewayFile, 'name' | 'credentials' | 'checksModel' | 'absent'> {
  /** By itself, without Mintmark. */
  verifiesTokens: boolean
  start: GatewayFile['start']
}

/** Every gateway of test/gateway-configs. */
export const SUBJECTS: readonly Subject[] = [
  ...GATEWAY_FILES.map(file => ({ ...file, verifiesTokens: file.name !== 'caddy' })),
  {
    name: 'istio-static',
    credentials: ['token'],
    checksModel: true,
    verifiesTokens: true,
    absent: noEnvoy,
    start: ports => istio(ports, 'record-static'),
  },
]

export interface Setting {
  engine: TalkingEngine
  running: readonly (Subject & Gateway)[]
  /** Of the tenant that may use MODEL. `unseen`: a key that no gateway has been shown. */
  credentials: { key: string; token: string; unseen: string }
  /** The Mintmark process stays, and does not answer (SIGSTOP). */
  suspend(): void
  /** The Mintmark process ends (SIGKILL), and its ports refuse connections. */
  kill(): Promise<void>
}

/** Mintmark as a process with its Postgres, an engine, and these gateways. */
export async function startSetting(environment: Environment, subjects: readonly Subject[]): Promise<Setting> {
  const postgres = await environment.postgres()
  const mintmark = await environment.replica(postgres.applicationUrl(), {
    MINTMARK_ISSUER: ISSUER,
    // The one algorithm that every gateway verifies.
    MINTMARK_SIGNING_ALG: 'RS256',
    MINTMARK_TOKEN_TTL_SECONDS: '3600',
  })
  await mintmark.admin('PUT', `/models/${MODEL}`, {})
  await mintmark.admin('PUT', `/adapters/${FOREIGN_MODEL}`, { base_model: MODEL })
  await mintmark.change('/tenants', { id: 'acme', models: [MODEL], audiences: ['vllm'] })
  const newKey = async (): Promise<string> => (await mintmark.change('/tenants/acme/keys', {})).body.secret
  const key = await newKey()
  const { body, text } = await mintmark.exchange(key)
  if (!body?.access_token) throw new Error(`the key was not exchanged: ${text}`)
  const credentials = { key, token: body.access_token as string, unseen: await newKey() }

  const engine = await startTalkingEngine()
  environment.onEnd(() => engine.stop())
  const portOf = (url: string) => Number(new URL(url).port)
  const { urls } = mintmark
  const ports = {
    public: portOf(urls.public),
    gateway: portOf(urls.gateway),
    gatewayGrpc: portOf(urls.gatewayGrpc),
    upstream: engine.port,
  }
  const running = []
  for (const subject of subjects) {
    const gateway = await subject.start(ports)
    environment.onEnd(() => gateway.stop())
    running.push({ ...subject, ...gateway })
  }
  return {
    ...{ engine, running, credentials },
    suspend: () => process.kill(mintmark.process.pid, 'SIGSTOP'),
    kill: () => mintmark.process.kill(),
  }
}
