import { ISSUER } from '../../deploy/generate/example.ts'
import type { Environment } from '../faults/environment/environment.ts'
import type { Replica } from '../faults/environment/replica.ts'
import { ADAPTERS, BASE } from './engine.ts'

/** A tenant with one adapter, its key, and a token of an hour. */
export interface Tenant {
  id: string
  key: string
  token: string
  adapter: string
}

/** One more key of a tenant: its id, the key itself, and a token of an hour. */
interface AnotherKey {
  id: string
  secret: string
  token: string
}

export interface Installation {
  ports: { public: number; gateway: number; gatewayGrpc: number; otlpGrpc: number }
  /** premium, with acme-sql. */
  acme: Tenant
  /** batch, with blue-chat. */
  blue: Tenant
  /** standard, without an adapter. */
  plain: Omit<Tenant, 'adapter'>
  /** Mintmark's public listener. */
  issuer: string
  /** A call to the admin API; the path begins after /admin/v1. */
  admin: Replica['admin']
  newKey(tenant: string): Promise<AnotherKey>
}

/** A Mintmark process with the engine's models, and two tenants. @throws {Error} when a key cannot be exchanged */
export async function startInstallation(environment: Environment): Promise<Installation> {
  const postgres = await environment.postgres()
  const replica = await environment.replica(postgres.applicationUrl(), {
    MINTMARK_ISSUER: ISSUER,
    MINTMARK_SIGNING_ALG: 'RS256',
    MINTMARK_TOKEN_TTL_SECONDS: '3600',
    MINTMARK_GATEWAY_KEY_HEADERS: 'x-api-key',
    MINTMARK_OTLP_GRPC_PORT: '0',
  })
  const [urls] = replica.process.logged('ready') as [Record<string, string>]
  const portOf = (name: string) => Number(new URL(urls[name] ?? '').port)
  await replica.admin('PUT', `/models/${BASE}`, {})
  for (const adapter of ADAPTERS) await replica.admin('PUT', `/adapters/${adapter}`, { base_model: BASE })
  const newKey = async (tenant: string): Promise<AnotherKey> => {
    const { body: made } = await replica.change(`/tenants/${tenant}/keys`, {})
    const { body: exchanged } = await replica.exchange(made.secret)
    if (!exchanged?.access_token) throw new Error(`the key of ${tenant} was not exchanged`)
    return { id: made.id, secret: made.secret, token: exchanged.access_token }
  }
  const tenant = async (id: string, tier: string, adapters: string[]) => {
    const settings = { id, tier, allowed_tiers: [tier], adapters, audiences: ['vllm'] }
    await replica.change('/tenants', settings)
    const { secret, token } = await newKey(id)
    return { id, key: secret, token }
  }
  const withAdapter = async (id: string, tier: string, adapter: string): Promise<Tenant> => ({
    ...(await tenant(id, tier, [adapter])),
    adapter,
  })
  return {
    ports: {
      public: portOf('public'),
      gateway: portOf('gateway'),
      gatewayGrpc: portOf('gatewayGrpc'),
      otlpGrpc: portOf('otlpGrpc'),
    },
    issuer: urls.public ?? '',
    admin: replica.admin,
    newKey,
    acme: await withAdapter('acme', 'premium', 'acme-sql'),
    blue: await withAdapter('blue', 'batch', 'blue-chat'),
    plain: await tenant('plain', 'standard', []),
  }
}
