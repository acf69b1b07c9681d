import { deployFiles } from '../../deploy/generate/deploy-files.ts'
import { ISSUER } from '../../deploy/generate/example.ts'
import { type Envoy, startEnvoy, substitute } from '../gateway-configs/envoy.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { createTestDatabase } from '../support/test-database.ts'
import { startTestService, type TestService } from '../support/test-service.ts'

export const TOKENS = { first: 'f'.repeat(32), second: 's'.repeat(32) }

/** Mintmark on a real Postgres, and two Envoys that receive the list; the second one through a proxy. */
export interface Setting {
  mintmark: TestService
  first: Envoy
  second: Envoy
  /** Between Mintmark and the second Envoy. */
  proxy: TcpProxy
  /** Another Envoy with these changes to its file. */
  envoy(token: string, port: number, withoutList?: 'open' | 'closed'): Promise<Envoy>
  xdsPort: number
  stop(): Promise<void>
}

/** `entries`: the number of revocations in the list at the start. */
export async function startSetting(entries = 0): Promise<Setting> {
  const upstream = await startRecordingUpstream()
  const database = await createTestDatabase()
  await database.asOwner(
    `INSERT INTO token_revocations (claim, value, ends_at)
     SELECT 'jti', 'entry-' || n, now() + interval '1 hour' FROM generate_series(1, $1::int) AS n`,
    [entries],
  )
  const mintmark = await startTestService({
    database,
    env: {
      MINTMARK_ISSUER: ISSUER,
      MINTMARK_TOKEN_TTL_SECONDS: '3600',
      MINTMARK_XDS_TOKENS: `first:${TOKENS.first},second:${TOKENS.second}`,
      MINTMARK_XDS_PORT: '0',
    },
  })
  await mintmark.admin('PUT', '/models/llama-3-8b', {})
  const xdsPort = mintmark.service.addresses.xds?.port ?? 0
  const proxy = await TcpProxy.before(`http://127.0.0.1:${xdsPort}`)
  const envoys: Envoy[] = []
  const envoy: Setting['envoy'] = async (token, port, withoutList = 'open') => {
    const file = deployFiles(undefined, withoutList)['deploy/envoy/envoy.yaml'] ?? ''
    const started = await startEnvoy(
      substitute(file, [
        [
          'address: mintmark, port_value: 8080',
          `address: 127.0.0.1, port_value: ${new URL(mintmark.service.urls.public).port}`,
        ],
        ['address: mintmark, port_value: 8086', `address: 127.0.0.1, port_value: ${port}`],
        ['address: vllm, port_value: 8000', `address: 127.0.0.1, port_value: ${upstream.port}`],
        ['address: 0.0.0.0, port_value: 10000', 'address: 127.0.0.1, port_value: 0'],
        ['address: 127.0.0.1, port_value: 9901', 'address: 127.0.0.1, port_value: 0'],
        ['change-me-change-me-change-me-change-me', token],
        ['initial_fetch_timeout: 5s', 'initial_fetch_timeout: 0.5s'],
      ]),
    )
    envoys.push(started)
    return started
  }
  const first = await envoy(TOKENS.first, xdsPort)
  const second = await envoy(TOKENS.second, Number(new URL(proxy.url).port))
  const stop = async () => {
    await Promise.all(envoys.map(each => each.stop()))
    await proxy.close()
    await mintmark.stop()
    await database.drop()
    await upstream.stop()
  }
  return { mintmark, first, second, proxy, envoy, xdsPort, stop }
}

export async function tokenOf({ mintmark }: Pick<Setting, 'mintmark'>, secret: string): Promise<string> {
  const answer = await mintmark.token({ grant_type: 'client_credentials', client_secret: secret })
  return answer.body.access_token
}
