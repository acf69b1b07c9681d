import { ISSUER } from '../../deploy/generate/example.ts'
import type { Checks } from '../engine/checks.ts'
import type { Environment } from '../faults/environment/environment.ts'
import type { Replica } from '../faults/environment/replica.ts'
import { chat, send } from '../gateway-configs/client.ts'
import { deployedEnvoy } from '../gateway-configs/environment.ts'
import type { Envoy } from '../gateway-configs/envoy.ts'
import { type Exchange, exchange } from '../support/exchange.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import { until } from '../support/until.ts'
import { type Spire, startSpire, TRUST_DOMAIN } from './spire.ts'

const AUDIENCE = 'https://tokens.example.com'
const MODEL = 'llama-3-8b'
const PATH = '/ns/ml/sa/trainer'
const GRANT = 'urn:ietf:params:oauth:grant-type'

/** A JWT-SVID in each grant that takes one. */
const GRANTS: Record<string, (svid: string) => Record<string, string>> = {
  'token exchange': subject_token => ({
    grant_type: `${GRANT}:token-exchange`,
    subject_token,
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
  }),
  'jwt-bearer': assertion => ({ grant_type: `${GRANT}:jwt-bearer`, assertion }),
  'client_credentials, jwt-spiffe': client_assertion => ({
    grant_type: 'client_credentials',
    client_assertion,
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe',
  }),
}

interface Setting {
  checks: Checks
  spire: Spire
  mintmark: Replica
  envoy: Envoy
}

export async function checkSpire(checks: Checks, environment: Environment): Promise<void> {
  const onEnd = (end: () => unknown) => environment.onEnd(end)
  const spire = await startSpire(onEnd)
  const postgres = await environment.postgres()
  const mintmark = await environment.replica(postgres.applicationUrl(), { MINTMARK_ISSUER: ISSUER })
  const upstream = await startRecordingUpstream()
  onEnd(() => upstream.stop())
  const jwks = Number(new URL(mintmark.urls.public).port)
  const envoy = await deployedEnvoy({ jwks, upstream: upstream.port })
  onEnd(() => envoy.stop())
  await mintmark.admin('PUT', `/models/${MODEL}`, {})
  await mintmark.change('/tenants', { id: 'acme' })
  const setting = { checks, spire, mintmark, envoy }
  await checkExchanges(setting)
  await checkRotation(setting)
}

/** By the provider of the guide, whose keys come from SPIRE's bundle endpoint. */
async function checkExchanges({ checks, spire, mintmark, envoy }: Setting): Promise<void> {
  for (const path of [PATH, '/ns/ml/sa/default', '/ns/other/sa/trainer']) await spire.addEntry(path)
  const { body: provider, text } = await mintmark.change('/identity-providers', {
    kind: 'spiffe',
    issuer: `spiffe://${TRUST_DOMAIN}`,
    audiences: [AUDIENCE],
    algorithms: ['ES256'],
    jwks_uri: spire.bundleUrl,
    ca_pem: spire.authority.certificate,
    allow_addresses: [`127.0.0.1/32:${spire.bundlePort}`, `[::1/128]:${spire.bundlePort}`],
  })
  await checks.equal('the keys are fetched from the bundle endpoint', [201, ''], async () => {
    if (!provider?.id) return text
    const { body } = await until(
      'the keys',
      () => mintmark.admin('GET', `/identity-providers/${provider.id}`),
      answer => answer.body.fetch?.last_success_at || answer.body.fetch?.failures > 3,
    )
    return [201, body.fetch.last_success_at ? '' : body.fetch.last_error.message]
  })
  const subject = `spiffe://${TRUST_DOMAIN}/ns/ml/sa/*`
  const credential = { type: 'federated', provider: provider.id, subject }
  await mintmark.change('/tenants/acme/workload-keys', { credential })
  for (const name of Object.keys(GRANTS))
    await checks.equal(`${name}: exchanged, and accepted by Envoy`, [200, 200], async () => {
      const { status, token } = await present(mintmark, name, await spire.svid(PATH, AUDIENCE))
      return [status, (await send(envoy.url, { token, body: chat(MODEL) })).status]
    })
  const refusals: [string, string, string][] = [
    ['of another namespace', '/ns/other/sa/trainer', AUDIENCE],
    ['of the account default, which * does not match', '/ns/ml/sa/default', AUDIENCE],
    ['for another audience', PATH, 'https://other.example.com'],
  ]
  for (const [what, path, audience] of refusals)
    await checks.equal(`${what}: refused in each grant`, [400, 400, 401], async () => {
      const svid = await spire.svid(path, audience)
      const answers = await Promise.all(Object.keys(GRANTS).map(name => present(mintmark, name, svid)))
      return answers.map(({ status }) => status)
    })
}

/** SPIRE publishes a new key before it signs, and Mintmark fetches at the latest a minute after it sees an unknown one. */
async function checkRotation({ checks, spire, mintmark }: Setting): Promise<void> {
  const before = kidOf(await spire.svid(PATH, AUDIENCE))
  await spire.activateKey(await spire.prepareKey())
  // The agent caches identities: this one is new.
  await spire.addEntry('/ns/ml/sa/later')
  const svid = await spire.svid('/ns/ml/sa/later', AUDIENCE)
  await checks.equal('it signs with the new key', true, () => kidOf(svid) !== before)
  const began = performance.now()
  await checks.equal('after SPIRE changed its key: exchanged once the key was fetched', 200, async () => {
    const { status } = await until(
      'the new key is accepted',
      () => present(mintmark, 'token exchange', svid),
      answer => answer.status === 200,
      90_000,
    )
    return status
  })
  console.log(`  note    ${((performance.now() - began) / 1_000).toFixed(1)} s after its first use`)
}

const kidOf = (jwt: string): string =>
  JSON.parse(Buffer.from(jwt.split('.')[0] ?? '', 'base64url').toString('utf8')).kid

const present = (mintmark: Replica, grant: string, svid: string): Promise<Exchange> =>
  exchange(`${mintmark.urls.public}/oauth/token`, GRANTS[grant]?.(svid) ?? {})
