import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deployFiles } from '../../deploy/generate/deploy-files.ts'
import { ISSUER } from '../../deploy/generate/example.ts'
import type { Environment } from '../faults/environment/environment.ts'
import type { Postgres } from '../faults/environment/postgres.ts'
import type { Replica } from '../faults/environment/replica.ts'
import { type Answer, chat, type Sent, send } from '../gateway-configs/client.ts'
import { deployedAt, deployedEnvoy } from '../gateway-configs/environment.ts'
import { type Envoy, startEnvoy, substitute } from '../gateway-configs/envoy.ts'
import { freePort } from '../support/free-port.ts'
import { Clock, type RateLimitService, type Redis, startRateLimitService, startRedis } from './programs.ts'
import { startUsageEngine, type UsageEngine } from './usage-engine.ts'

export const MODEL = 'llama-3-8b'
const PATIENCE = '10s'
const XDS_TOKEN = 'l'.repeat(32)

export type Limits = Partial<
  Record<'requests_per_minute' | 'requests_per_day' | 'tokens_per_minute' | 'tokens_per_day', number | null>
>

/** A key of a tenant, and a token of an hour. */
export interface Credential {
  tenant: string
  key: string
  secret: string
  token: string
}

/** All that runs, and what the checks do with it. */
export interface Setting {
  home: string
  clock: Clock
  redis: Redis
  service: RateLimitService
  engine: UsageEngine
  /** With the shipped file. */
  envoy: Envoy
  postgres: Postgres
  mintmark: Replica
  /** Another Envoy with the shipped file, with changes. */
  anotherEnvoy(port: number, changes?: [string, string][]): Promise<Envoy>
  /** Another program of Envoy with a file of deploy/envoy that has limits. */
  olderEnvoy(program: string, file: string): Promise<Envoy>
  /** With the file of which envoy-limits.yaml is a copy with limits. */
  unlimitedEnvoy(): Promise<Envoy>
  /** With the file that the generator writes for the limits and the list of revoked tokens. */
  revokingEnvoy(): Promise<Envoy>
  /** Of a further replica on the same Postgres. */
  replicaEnv: Record<string, string>
  tenant(limits: Limits, keyLimits?: Limits): Promise<Credential>
  /** One more key of the tenant. */
  key(tenant: string, limits?: Limits): Promise<Credential>
}

/** Mintmark and its Postgres, Redis, the rate limit service with a stopped clock, an engine, and Envoy. */
export async function startSetting(environment: Environment): Promise<Setting> {
  const home = mkdtempSync(join(tmpdir(), 'mintmark-limits-'))
  environment.onEnd(() => rmSync(home, { recursive: true, force: true }))
  const ending = <T extends { stop(): Promise<unknown> }>(started: T): T => {
    environment.onEnd(() => started.stop())
    return started
  }
  const clock = new Clock(home)
  const redis = ending(await startRedis(home))
  const service = ending(await startRateLimitService(home, redis, { clock }))
  const engine = ending(await startUsageEngine())
  const postgres = await environment.postgres()
  const replicaEnv = { MINTMARK_ISSUER: ISSUER, MINTMARK_TOKEN_TTL_SECONDS: '3600' }
  const xdsPort = await freePort()
  const mintmark = await environment.replica(postgres.applicationUrl(), {
    ...replicaEnv,
    MINTMARK_XDS_TOKENS: `edge:${XDS_TOKEN}`,
    MINTMARK_XDS_PORT: String(xdsPort),
  })
  await mintmark.admin('PUT', `/models/${MODEL}`, {})
  const portOf = (url: string) => Number(new URL(url).port)
  const { urls } = mintmark
  const ports = { jwks: portOf(urls.public), upstream: engine.port }
  const listeners: [string, string][] = [
    ['address: mintmark, port_value: 8082', `address: 127.0.0.1, port_value: ${portOf(urls.gateway)}`],
    ['address: mintmark, port_value: 8083', `address: 127.0.0.1, port_value: ${portOf(urls.gatewayGrpc)}`],
  ]
  const counting = (port: number): [string, string][] => [
    ...listeners,
    ['address: ratelimit, port_value: 8081', `address: 127.0.0.1, port_value: ${port}`],
    // Exact counts on a busy machine.
    ['timeout: 0.5s', `timeout: ${PATIENCE}`],
    ['timeout: 5s', `timeout: ${PATIENCE}`],
  ]
  const anotherEnvoy: Setting['anotherEnvoy'] = async (port, changes = []) =>
    ending(await deployedEnvoy(ports, [...counting(port), ...changes], 'envoy-limits.yaml'))
  const olderEnvoy: Setting['olderEnvoy'] = async (program, file) =>
    ending(await deployedEnvoy(ports, counting(service.port), file, program))
  const unlimitedEnvoy: Setting['unlimitedEnvoy'] = async () =>
    ending(await deployedEnvoy(ports, listeners, 'envoy-api-keys-grpc.yaml'))
  const revokingEnvoy: Setting['revokingEnvoy'] = async () => {
    const file = deployFiles(undefined, 'open')['deploy/envoy/envoy-limits.yaml'] ?? ''
    return ending(
      await startEnvoy(
        substitute(file, [
          ...deployedAt(ports),
          ...counting(service.port),
          ['address: mintmark, port_value: 8086', `address: 127.0.0.1, port_value: ${xdsPort}`],
          ['change-me-change-me-change-me-change-me', XDS_TOKEN],
        ]),
      ),
    )
  }
  const envoy = await anotherEnvoy(service.port)
  let tenants = 0
  const key: Setting['key'] = async (tenant, limits = {}) => {
    const { body: made, text: answer } = await mintmark.change(`/tenants/${tenant}/keys`, { limits })
    if (!made?.secret) throw new Error(`no key of ${tenant}: ${answer}`)
    const { body, text } = await mintmark.exchange(made.secret)
    if (!body?.access_token) throw new Error(`a key of ${tenant} was not exchanged: ${text}`)
    return { tenant, key: made.id, secret: made.secret, token: body.access_token }
  }
  return {
    ...{ home, clock, redis, service, engine, envoy, postgres, mintmark, anotherEnvoy, unlimitedEnvoy, key },
    ...{ olderEnvoy, replicaEnv, revokingEnvoy },
    tenant: async (limits, keyLimits) => {
      const id = `tenant-${++tenants}`
      const { status, text } = await mintmark.change('/tenants', { id, audiences: ['vllm'], limits })
      // 200: the answer to the first request was lost.
      if (status !== 201 && status !== 200) throw new Error(`no tenant: ${text}`)
      return key(id, keyLimits)
    },
  }
}

export const ask = (url: string, token: string, more: Sent = {}): Promise<Answer> =>
  send(url, { token, body: chat(MODEL), ...more })

/** The statuses of so many requests, one after another. */
export async function statuses(
  url: string,
  token: string,
  count: number,
  more: Sent = {},
): Promise<number[]> {
  const found: number[] = []
  for (let i = 0; i < count; i++) found.push((await ask(url, token, more)).status)
  return found
}

/** As many 200 as the limit, and then 429. */
export const upTo = (limit: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => (i < limit ? 200 : 429))
