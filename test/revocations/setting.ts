import { deployFiles } from '../../deploy/generate/deploy-files.ts'
import { ISSUER } from '../../deploy/generate/example.ts'
import type { Environment } from '../faults/environment/environment.ts'
import type { Postgres } from '../faults/environment/postgres.ts'
import type { Replica } from '../faults/environment/replica.ts'
import { send } from '../gateway-configs/client.ts'
import { type Envoy, startEnvoy, substitute } from '../gateway-configs/envoy.ts'
import { freePort } from '../support/free-port.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

const TOKENS = { first: 'f'.repeat(32), second: 's'.repeat(32) }

/** A key of a tenant, and a token of an hour. */
export interface Credential {
  key: string
  secret: string
  token: string
}

/** Mintmark on a Postgres of its own, and two Envoys that receive the list; the second one through a proxy. */
export interface Setting {
  postgres: Postgres
  mintmark: Replica
  xdsPort: number
  first: Envoy
  second: Envoy
  /** Between Mintmark and the second Envoy. */
  proxy: TcpProxy
  envoy(token: string, port: number, withoutList?: 'open' | 'closed'): Promise<Envoy>
  credential(): Promise<Credential>
}

/** `entries`: the number of revocations in the list at the start. All of it ends with the environment. */
export async function startSetting(environment: Environment, entries = 0): Promise<Setting> {
  const upstream = await startRecordingUpstream()
  environment.onEnd(() => upstream.stop())
  const postgres = await environment.postgres()
  await postgres.sql(
    `INSERT INTO token_revocations (claim, value, ends_at)
     SELECT 'jti', 'entry-' || n, now() + interval '1 hour' FROM generate_series(1, $1::int) AS n`,
    [entries],
  )
  const xdsPort = await freePort()
  const mintmark = await environment.replica(postgres.applicationUrl(), {
    MINTMARK_ISSUER: ISSUER,
    MINTMARK_TOKEN_TTL_SECONDS: '3600',
    MINTMARK_XDS_TOKENS: `first:${TOKENS.first},second:${TOKENS.second}`,
    MINTMARK_XDS_PORT: String(xdsPort),
  })
  await mintmark.admin('PUT', '/models/llama-3-8b', {})
  const proxy = await TcpProxy.before(`http://127.0.0.1:${xdsPort}`)
  environment.onEnd(() => proxy.close())
  const envoy: Setting['envoy'] = async (token, port, withoutList = 'open') => {
    const file = deployFiles(undefined, withoutList)['deploy/envoy/envoy.yaml'] ?? ''
    const jwks = new URL(mintmark.urls.public).port
    const started = await startEnvoy(
      substitute(file, [
        ['address: mintmark, port_value: 8080', `address: 127.0.0.1, port_value: ${jwks}`],
        ['address: mintmark, port_value: 8086', `address: 127.0.0.1, port_value: ${port}`],
        ['address: vllm, port_value: 8000', `address: 127.0.0.1, port_value: ${upstream.port}`],
        ['address: 0.0.0.0, port_value: 10000', 'address: 127.0.0.1, port_value: 0'],
        ['address: 127.0.0.1, port_value: 9901', 'address: 127.0.0.1, port_value: 0'],
        ['change-me-change-me-change-me-change-me', token],
        ['initial_fetch_timeout: 5s', 'initial_fetch_timeout: 0.5s'],
      ]),
    )
    environment.onEnd(() => started.stop())
    return started
  }
  let tenants = 0
  const credential = async () => {
    const id = `tenant-${++tenants}`
    await mintmark.change('/tenants', { id })
    const { body: made, text } = await mintmark.change(`/tenants/${id}/keys`, {})
    if (!made?.secret) throw new Error(`there is no key: ${text}`)
    const { body } = await mintmark.exchange(made.secret)
    return { key: made.id, secret: made.secret, token: body.access_token }
  }
  const first = await envoy(TOKENS.first, xdsPort)
  const second = await envoy(TOKENS.second, Number(new URL(proxy.url).port))
  return { postgres, mintmark, xdsPort, first, second, proxy, envoy, credential }
}

export async function statusOf(envoy: Envoy, token: string): Promise<number> {
  return (await send(envoy.url, { token })).status
}

export const revoke = ({ mintmark }: Setting, { key }: Credential) =>
  mintmark.change('/token-revocations', { key })
