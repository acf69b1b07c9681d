import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { deployFiles } from '../../deploy/generate/deploy-files.ts'
import { ISSUER } from '../../deploy/generate/example.ts'
import type { Environment } from '../faults/environment/environment.ts'
import type { Postgres } from '../faults/environment/postgres.ts'
import type { Replica } from '../faults/environment/replica.ts'
import { send } from '../gateway-configs/client.ts'
import { type Envoy, startEnvoy, substitute } from '../gateway-configs/envoy.ts'
import { freePort } from '../support/free-port.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'
import { startEngine } from './engine.ts'

export const TOKENS = { first: 'f'.repeat(32), second: 's'.repeat(32), third: 't'.repeat(32) }
const PATIENCE_MS = 30_000

/** A key of a tenant, and a token of an hour. */
export interface Credential {
  key: string
  secret: string
  token: string
}

interface EnvoyOptions {
  token: string
  /** Of the xDS listener, or of what is before it. */
  port: number
  withoutList?: 'open' | 'closed'
  /** Its `transport_socket`, in YAML. */
  transportSocket?: string
}

/** Mintmark on a Postgres of its own, and two Envoys that receive the list; the second one through a proxy. */
export interface Setting {
  postgres: Postgres
  mintmark: Replica
  xdsPort: number
  engine: Envoy
  first: Envoy
  second: Envoy
  /** Between Mintmark and the second Envoy. */
  proxy: TcpProxy
  envoy(options: EnvoyOptions): Promise<Envoy>
  /** Another process of Mintmark, or the same one again. */
  replica(databaseUrl: string, env?: Record<string, string>): Promise<Replica>
  /** Of a new tenant, unless of this one. */
  credential(tenant?: string): Promise<Credential>
}

/** `entries`: statements that fill the list before Mintmark starts. All of it ends with the environment. */
export async function startSetting(
  environment: Environment,
  fill: (postgres: Postgres) => Promise<unknown> = async () => {},
): Promise<Setting> {
  const engine = await startEngine()
  environment.onEnd(() => engine.stop())
  const snapshots = mkdtempSync(join(tmpdir(), 'mintmark-snapshots-'))
  environment.onEnd(() => rmSync(snapshots, { recursive: true, force: true }))
  const postgres = await environment.postgres()
  await fill(postgres)
  const xdsPort = await freePort()
  const publicPort = await freePort()
  const named = Object.entries(TOKENS).map(([name, token]) => `${name}:${token}`)
  const replica: Setting['replica'] = (databaseUrl, env = {}) =>
    environment.replica(databaseUrl, {
      MINTMARK_ISSUER: ISSUER,
      MINTMARK_TOKEN_TTL_SECONDS: '3600',
      MINTMARK_XDS_TOKENS: named.join(),
      MINTMARK_XDS_PORT: String(xdsPort),
      MINTMARK_PUBLIC_PORT: String(publicPort),
      MINTMARK_SNAPSHOT_DIR: snapshots,
      ...env,
    })
  const mintmark = await replica(postgres.applicationUrl())
  await mintmark.admin('PUT', '/models/llama-3-8b', {})
  const proxy = await TcpProxy.before(`http://127.0.0.1:${xdsPort}`)
  environment.onEnd(() => proxy.close())
  const envoy: Setting['envoy'] = async ({ token, port, withoutList = 'open', transportSocket }) => {
    const file = deployFiles(undefined, withoutList)['deploy/envoy/envoy.yaml'] ?? ''
    const changed = substitute(file, [
      ['address: mintmark, port_value: 8080', `address: 127.0.0.1, port_value: ${publicPort}`],
      ['address: mintmark, port_value: 8086', `address: 127.0.0.1, port_value: ${port}`],
      ['address: vllm, port_value: 8000', `address: 127.0.0.1, port_value: ${new URL(engine.url).port}`],
      ['address: 0.0.0.0, port_value: 10000', 'address: 127.0.0.1, port_value: 0'],
      ['address: 127.0.0.1, port_value: 9901', 'address: 127.0.0.1, port_value: 0'],
      ['change-me-change-me-change-me-change-me', token],
      ['initial_fetch_timeout: 5s', 'initial_fetch_timeout: 0.5s'],
    ])
    const started = await startEnvoy(
      transportSocket === undefined ? changed : changed.replace(WHERE_TLS_IS, indented(transportSocket)),
    )
    environment.onEnd(() => started.stop())
    return started
  }
  const first = await envoy({ token: TOKENS.first, port: xdsPort })
  const second = await envoy({ token: TOKENS.second, port: Number(new URL(proxy.url).port) })
  let tenants = 0
  const setting: Setting = {
    ...{ postgres, mintmark, xdsPort, engine, first, second, proxy, envoy, replica },
    credential: async tenant => {
      const id = tenant ?? `tenant-${++tenants}`
      if (tenant === undefined) await setting.mintmark.change('/tenants', { id })
      const { body: made, text } = await setting.mintmark.change(`/tenants/${id}/keys`, {})
      if (!made?.secret) throw new Error(`there is no key: ${text}`)
      const { body } = await setting.mintmark.exchange(made.secret)
      return { key: made.id, secret: made.secret, token: body.access_token }
    },
  }
  return setting
}

/** As it is replaced in: with the indentation of the first match. */
const indented = (text: string) => (_: string, indent: string) => text.trimEnd().replaceAll(/^/gm, indent)

/** The comment of the cluster where a user adds TLS. */
const WHERE_TLS_IS = /^( *)# Over TLS, add a transport_socket here.*$/m

export async function statusOf(envoy: Envoy, token: string): Promise<number> {
  return (await send(envoy.url, { token })).status
}

/** All tokens of this key. */
export const revoke = (setting: Pick<Setting, 'mintmark'>, { key }: Credential): Promise<void> =>
  end(setting, { key })

/**
 * What a token, a key or a tenant has. On a busy machine the answer to the request may be lost, and the repeated one is then 200.
 * @throws {Error} when it was not answered with success: what is measured begins with that answer.
 */
export async function end(
  { mintmark }: Pick<Setting, 'mintmark'>,
  ended: { jti: string } | { key: string } | { tenant: string },
): Promise<void> {
  const { status, text } = await mintmark.change('/token-revocations', ended)
  if (status !== 201 && status !== 200) throw new Error(`a revocation got ${status}: ${text}`)
}

/** A credential whose token is accepted at these gateways; default: at both. */
export async function live(
  { credential, ...setting }: Setting,
  envoys: readonly Envoy[] = [setting.first, setting.second],
): Promise<Credential> {
  const mine = await credential()
  for (const envoy of envoys) {
    const status = await statusOf(envoy, mine.token)
    if (status !== 200) throw new Error(`a new token got ${status}`)
  }
  return mine
}

/** Milliseconds until the token is refused. */
export async function refusedAfter(
  envoy: Envoy,
  token: string,
  since = performance.now(),
  patienceMs = PATIENCE_MS,
): Promise<number> {
  await until(
    '401',
    () => statusOf(envoy, token),
    status => status === 401,
    patienceMs,
  )
  return performance.now() - since
}

/** The value below which this share of them is. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}
