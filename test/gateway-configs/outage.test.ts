import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts'
import { BUSY, timed, until } from '../support/until.ts'
import { send } from './client.ts'
import { deployedEnvoy, startMintmark, tokenOf } from './environment.ts'
import { type Envoy, noEnvoy, startEnvoy } from './envoy.ts'
import { pilotConfig } from './pilot-config.ts'
import { startTestMint } from './test-mint.ts'

/** 300 s in the files; here short enough to wait for it more than twice. */
const CACHE_SECONDS = 2

let upstream: RecordingUpstream
let envoys: Record<'deployed' | 'inline' | 'remote' | 'restarted', Envoy>
let token: string

beforeAll(async () => {
  if (noEnvoy) return
  upstream = await startRecordingUpstream()
  const mintmark = await startMintmark()
  const publicUrl = mintmark.service.urls.public
  const jwks = Number(new URL(publicUrl).port)
  const shortCache: [string, string] = ['cache_duration: 300s', `cache_duration: ${CACHE_SECONDS}s`]
  const deployed = () => deployedEnvoy({ jwks, upstream: upstream.port }, [shortCache])
  const inline = await (await fetch(`${publicUrl}/.well-known/jwks.json`)).text()
  const remote = { port: jwks, cacheDuration: `${CACHE_SECONDS}s` }
  envoys = {
    deployed: await deployed(),
    inline: await startEnvoy(pilotConfig({ upstreamPort: upstream.port, jwks: { inline } })),
    remote: await startEnvoy(pilotConfig({ upstreamPort: upstream.port, jwks: { remote } })),
    restarted: undefined as never,
  }
  token = await tokenOf(mintmark, { id: 'acme', tier: 'premium', allowed_tiers: ['premium'] })
  for (const envoy of [envoys.deployed, envoys.inline, envoys.remote]) {
    expect(await send(envoy.url, { token })).toMatchObject({ status: 200 })
  }
  // Stops the service and its database: stop() drops the database that it was created with.
  await mintmark.stop()
  await sleep((2 * CACHE_SECONDS + 1) * 1000)
  envoys.restarted = await deployed()
})
afterAll(async () => {
  await Promise.all(Object.values(envoys ?? {}).map(envoy => envoy.stop()))
  await upstream?.stop()
})

describe.skipIf(noEnvoy)(
  'with Mintmark and its database gone for longer than twice the cache_duration',
  () => {
    it('deploy/envoy continues to admit the token', async () => {
      upstream.forget()
      expect(await send(envoys.deployed.url, { token })).toMatchObject({ status: 200 })
      expect(upstream.theRequest().headers).toMatchObject({ 'x-tenant-id': 'acme', 'x-vllm-priority': '-10' })
    })

    it('and so does Istio where istiod fetched the keys', async () => {
      expect(await send(envoys.inline.url, { token })).toMatchObject({ status: 200 })
    })

    it('but not Istio where Envoy fetches them, without async_fetch: 401 Jwks remote fetch is failed', async () => {
      expect(await send(envoys.remote.url, { token })).toMatchObject({
        status: 401,
        text: 'Jwks remote fetch is failed',
      })
    })

    it('nor a deploy/envoy that was started since: it opens, and has no key', async () => {
      const answer = await send(envoys.restarted.url, { token })
      expect(answer).toMatchObject({ status: 401 })
      expect(JSON.parse(answer.text).error.message).toBe('Jwks remote fetch is failed')
    })
  },
)

describe.skipIf(noEnvoy)('a deploy/envoy that was started before Mintmark', () => {
  it('admits tokens within two seconds of the first response', async () => {
    const port = await freePort()
    const envoy = await deployedEnvoy({ jwks: port, upstream: upstream.port })
    const mint = await startTestMint(port)
    try {
      const token = await mint.sign()
      const { ms } = await timed(() =>
        until(
          'the token is admitted',
          () => send(envoy.url, { token }),
          ({ status }) => status === 200,
          2_000 * BUSY,
        ),
      )
      console.log(`from the start of Mintmark to the first token that Envoy admits: ${ms.toFixed(0)} ms`)
    } finally {
      await envoy.stop()
      await mint.stop()
    }
  })
})
