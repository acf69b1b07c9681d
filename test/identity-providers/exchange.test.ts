import { decodeJwt } from 'jose'
import * as oauth from 'oauth4webapi'
import * as client from 'openid-client'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { tokenProvider } from '../../clients/typescript/src/token-provider.ts'
import { scrape } from '../observability/metrics-text.ts'
import { briskClock } from '../support/adjustable-clock.ts'
import type { JsonAnswer, TestService } from '../support/test-service.ts'
import { request, startTestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { externalVerifier } from '../tokens/external-verifier.ts'
import { jws, newPair } from './assertions.ts'

/** Tokens of identity providers, exchanged at a running service: over each grant, by third-party clients, and without a database. */

const CLUSTER = 'https://kubernetes.default.svc.cluster.local'
const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
const JWT = 'urn:ietf:params:oauth:token-type:jwt'
const pair = newPair('one')
const own = newPair('own')

let mintmark: TestService
let issuer: string
let providerId: string
let keyId: string
let credentialId: string
let clientId: string
beforeAll(async () => {
  mintmark = await startTestService({
    env: { MINTMARK_ISSUER: '', MINTMARK_HOST: 'localhost' },
    overrides: { clock: briskClock },
  })
  issuer = mintmark.service.issuer
  await mintmark.admin('POST', '/tenants', { id: 'acme' })
  await mintmark.admin('POST', '/tenants', { id: 'globex' })
  const settings = {
    kind: 'kubernetes',
    issuer: CLUSTER,
    audiences: [issuer],
    algorithms: ['ES256'],
    jwks: { keys: [pair.jwk] },
    bounds: [
      { tenant: 'acme', subject: 'system:serviceaccount:acme:*' },
      { tenant: 'globex', subject: 'system:serviceaccount:globex:*' },
    ],
  }
  providerId = (await mintmark.admin('POST', '/identity-providers', settings)).body.id
  const made = await workloadKey('acme', federated('system:serviceaccount:acme:trainer'))
  keyId = made.body.key
  credentialId = made.body.credential.id
  clientId = (await workloadKey('acme', { type: 'public_key', jwks: { keys: [own.jwk] } })).body.key
})
afterAll(() => mintmark.stop())

const federated = (subject: string) => ({ type: 'federated', provider: providerId, subject })
const workloadKey = (tenant: string, credential: object) =>
  mintmark.admin('POST', `/tenants/${tenant}/workload-keys`, { name: 'trainer', credential })

const now = () => Math.floor(Date.now() / 1000)
const assertion = (changed: object = {}, by = pair) =>
  jws(
    by,
    { alg: 'ES256', kid: by.kid },
    {
      iss: CLUSTER,
      aud: [issuer],
      sub: 'system:serviceaccount:acme:trainer',
      iat: now(),
      exp: now() + 3_600,
      'kubernetes.io': { namespace: 'acme', pod: { name: 'trainer-0' } },
      ...changed,
    },
  )
const exchange = (subject_token: string, more: Record<string, string> = {}) =>
  mintmark.token({ grant_type: TOKEN_EXCHANGE, subject_token, subject_token_type: JWT, ...more })
const sdk = (body: object) =>
  request(`${mintmark.service.urls.public}/v1/oauth/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ grant_type: JWT_BEARER, ...body }),
  })
const conflicts = async (kind: string) =>
  (await scrape(mintmark.service.urls.ops)).series.get(`mintmark_identity_conflicts{kind="${kind}"}`)
const claimsOf = async (answer: JsonAnswer) => {
  expect(answer.status, answer.text).toBe(200)
  return (await externalVerifier(mintmark)(answer.body.access_token)).payload
}

describe('An assertion of a pod becomes a token of its tenant', () => {
  it('by token exchange (RFC 8693)', async () => {
    const answer = await exchange(assertion())
    expect(answer.body).toMatchObject({
      token_type: 'Bearer',
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      expires_in: 300,
    })
    expect(await claimsOf(answer)).toMatchObject({ sub: keyId, tenant: 'acme', workload: 'trainer-0' })
  })

  it('by jwt-bearer (RFC 7523)', async () => {
    const answer = await mintmark.token({ grant_type: JWT_BEARER, assertion: assertion(), client_id: keyId })
    expect(await claimsOf(answer)).toMatchObject({ sub: keyId })
    expect(answer.body).not.toHaveProperty('issued_token_type')
  })

  it("by JSON, as Anthropic's SDK sends it", async () => {
    const ids = { federation_rule_id: credentialId, service_account_id: keyId, organization_id: 'acme' }
    expect(await claimsOf(await sdk({ assertion: assertion(), ...ids }))).toMatchObject({ sub: keyId })
    for (const wrong of [
      { federation_rule_id: 'crd_0' },
      { service_account_id: clientId },
      { organization_id: 'globex' },
    ])
      expect(await sdk({ assertion: assertion(), ...ids, ...wrong })).toMatchObject({
        status: 400,
        body: { error: 'invalid_grant', error_description: 'Invalid assertion.' },
      })
  })

  it('by clients/typescript, which reads the assertion at each exchange', async () => {
    const token = await tokenProvider({ issuer, identityToken: async () => `${assertion()}\n` })()
    expect((await externalVerifier(mintmark)(token)).payload).toMatchObject({ sub: keyId })
    const refused = tokenProvider({ issuer, identityToken: assertion({ exp: now() - 10 }) })()
    await expect(refused).rejects.toThrow(
      'refuses the identity token (invalid_request): Invalid subject_token.',
    )
    expect(() => tokenProvider({ issuer })).toThrow(TypeError)
    expect(() => tokenProvider({ issuer, apiKey: 'x', identityToken: 'y' })).toThrow('give only one')
  })

  it('that never outlives the assertion', async () => {
    const exp = now() + 90
    expect((await claimsOf(await exchange(assertion({ exp })))).exp).toBe(exp)
  })

  it('with no more rights than the key has', async () => {
    expect(await exchange(assertion(), { scope: 'admin' })).toMatchObject({
      body: { error: 'invalid_scope' },
    })
    expect(await exchange(assertion(), { audience: 'other' })).toMatchObject({
      body: { error: 'invalid_target' },
    })
  })
})

describe('A client assertion (private_key_jwt)', () => {
  it('of openid-client is accepted', async () => {
    const options = { execute: [client.allowInsecureRequests] }
    const method = client.PrivateKeyJwt({ key: await cryptoKey(), kid: 'own' })
    const config = await client.discovery(new URL(issuer), clientId, undefined, method, options)
    const { access_token } = await client.clientCredentialsGrant(config)
    expect((await externalVerifier(mintmark)(access_token)).payload).toMatchObject({ sub: clientId })
  })

  it('of oauth4webapi is accepted, and discovery offers it', async () => {
    const insecure = { [oauth.allowInsecureRequests]: true }
    const url = new URL(issuer)
    const server = await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, insecure))
    expect(server).toMatchObject({
      grant_types_supported: ['client_credentials', TOKEN_EXCHANGE, JWT_BEARER],
      token_endpoint_auth_methods_supported: expect.arrayContaining(['private_key_jwt']),
    })
    const as = { client_id: clientId }
    let assertionExp: unknown
    const method = oauth.PrivateKeyJwt(
      { key: await cryptoKey(), kid: 'own' },
      {
        [oauth.modifyAssertion]: (_, { exp }) => {
          assertionExp = exp
        },
      },
    )
    const response = await oauth.clientCredentialsGrantRequest(
      server,
      as,
      method,
      new URLSearchParams(),
      insecure,
    )
    const { access_token, expires_in } = await oauth.processClientCredentialsResponse(server, as, response)
    const { iat = 0, exp = 0 } = decodeJwt(access_token)
    // As long as the assertion.
    expect(exp).toBe(assertionExp)
    expect(expires_in).toBe(exp - iat)
  })

  const claims = () => ({
    iss: clientId,
    sub: clientId,
    aud: issuer,
    jti: crypto.randomUUID(),
    exp: now() + 60,
  })
  const present = (given: object, by = own) =>
    mintmark.token({
      grant_type: 'client_credentials',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: jws(by, { alg: 'ES256', kid: 'own' }, given),
    })

  it.each<[string, object]>([
    ['for another audience', { aud: 'https://other.example' }],
    ['for a list of audiences', { aud: ['x'] }],
    ['of another issuer', { iss: 'key_0000000000000000' }],
    ['of an unknown client', { iss: 'key_0000000000000000', sub: 'key_0000000000000000' }],
    ['without jti', { jti: undefined }],
    ['that lives for an hour', { exp: now() + 3_600 }],
    ['that has expired', { exp: now() - 1 }],
  ])('%s is refused', async (_, changed) => {
    const answer = await present({ ...claims(), ...changed })
    expect(answer).toMatchObject({ status: 401, body: REFUSED_CLIENT })
  })

  it('is accepted once, and one by another key never', async () => {
    const once = claims()
    expect(await present(once, pair)).toMatchObject({ status: 401, body: REFUSED_CLIENT })
    expect((await present(once)).status).toBe(200)
    expect(await present(once)).toMatchObject({ status: 401, body: REFUSED_CLIENT })
  })
})

describe('POST /oauth/revoke', () => {
  const clientAssertion = () =>
    jws(
      own,
      { alg: 'ES256', kid: 'own' },
      {
        iss: clientId,
        sub: clientId,
        aud: issuer,
        jti: crypto.randomUUID(),
        exp: now() + 60,
      },
    )
  const checked = async (token: string) =>
    (
      await request(`${mintmark.service.urls.gateway}/check/v1/models`, {
        headers: { authorization: `Bearer ${token}` },
      })
    ).status
  const revoke = (form: Record<string, string>) =>
    request(`${mintmark.service.urls.public}/oauth/revoke`, {
      method: 'POST',
      body: new URLSearchParams(form),
    })
  const JWT_CLIENT = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
  const ownToken = async () => {
    const client_assertion = clientAssertion()
    const form = { grant_type: 'client_credentials', client_assertion_type: JWT_CLIENT, client_assertion }
    return (await mintmark.token(form)).body.access_token as string
  }

  it('ends the token of a client that authenticates with an assertion, by oauth4webapi after discovery', async () => {
    const [token, another] = [await ownToken(), await ownToken()]
    const insecure = { [oauth.allowInsecureRequests]: true }
    const url = new URL(issuer)
    const server = await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, insecure))
    expect(server.revocation_endpoint_auth_methods_supported).toContain('private_key_jwt')
    const method = oauth.PrivateKeyJwt({ key: await cryptoKey(), kid: 'own' })
    const answer = await oauth.revocationRequest(server, { client_id: clientId }, method, token, insecure)
    expect(await oauth.processRevocationResponse(answer)).toBeUndefined()
    expect([await checked(token), await checked(another)]).toEqual([401, 200])
  })

  it('leaves the token of another client valid, and refuses a wrong or repeated assertion alike', async () => {
    const { access_token: foreign } = (await exchange(assertion())).body
    const client_assertion = clientAssertion()
    const form = { client_assertion_type: JWT_CLIENT, client_assertion, token: foreign }
    expect((await revoke(form)).status).toBe(200)
    expect(await checked(foreign)).toBe(200)
    for (const wrong of [client_assertion, jws(pair, { alg: 'ES256', kid: 'own' }, { iss: clientId }), 'x'])
      expect(await revoke({ ...form, client_assertion: wrong })).toMatchObject({
        status: 401,
        body: REFUSED_CLIENT,
      })
    await until(
      'the audit row',
      async () => (await mintmark.admin('GET', '/audit-events?action=exchange.refuse&limit=100')).text,
      text => text.includes('POST /oauth/revoke'),
    )
  })

  it('introspection has no client assertions: it is for introspection tokens', async () => {
    const form = { client_assertion_type: JWT_CLIENT, client_assertion: clientAssertion(), token: 'x' }
    const url = `${mintmark.service.urls.public}/oauth/introspect`
    const answer = await request(url, { method: 'POST', body: new URLSearchParams(form) })
    expect(answer).toMatchObject({ status: 401, body: { error: 'invalid_client' } })
  })
})

const REFUSED_CLIENT = { error: 'invalid_client', error_description: 'Invalid client assertion.' }

/** As WebCrypto has it. */
const cryptoKey = () =>
  crypto.subtle.importKey(
    'jwk',
    own.privateKey.export({ format: 'jwk' }),
    { name: 'ECDSA', namedCurve: 'P-256' },
    false,
    ['sign'],
  )

describe('A refusal', () => {
  it('looks the same whatever the reason, and the log and the audit trail have it', async () => {
    const wrong = [
      assertion({ exp: now() - 10 }),
      assertion({ aud: 'https://other.example' }),
      assertion({ sub: 'system:serviceaccount:acme:other' }),
      assertion({}, newPair('one')),
      'nonsense',
    ]
    for (const text of wrong) {
      const answer = await exchange(text)
      expect(answer.body).toEqual({ error: 'invalid_request', error_description: 'Invalid subject_token.' })
      expect(answer.status).toBe(400)
    }
    const reasons = [
      'assertion_expired',
      'assertion_audience',
      'no_credential_matches',
      'assertion_signature',
      'assertion_malformed',
    ]
    const lines = mintmark.logs.filter(line => line.includes('"auth_method":"subject_token"'))
    for (const reason of reasons) expect(lines.some(line => line.includes(`"reason":"${reason}"`))).toBe(true)
    // The buffer is written every few seconds.
    await until(
      'the audit row',
      async () => (await mintmark.admin('GET', '/audit-events?action=exchange.refuse&limit=100')).text,
      text => text.includes(`no_credential_matches (${providerId})`),
    )
  })

  it('of a request that is not one names the parameter', async () => {
    expect(await mintmark.token({ grant_type: TOKEN_EXCHANGE })).toMatchObject({
      status: 400,
      body: { error_description: 'Missing parameter: subject_token.' },
    })
    expect(await exchange(assertion(), { actor_token: 'x' })).toMatchObject({
      body: { error: 'invalid_request' },
    })
    expect(await exchange(assertion(), { client_secret: 'x' })).toMatchObject({
      body: { error: 'invalid_request' },
    })
  })
})

describe('A tenant-admin', () => {
  it('adds credentials within the bounds of its tenant, and no others', async () => {
    const { body } = await mintmark.admin('POST', '/admin-tokens', { role: 'tenant-admin', tenant: 'acme' })
    const headers = { authorization: `Bearer ${body.secret}` }
    const add = (credential: object) =>
      mintmark.admin('POST', `/keys/${keyId}/credentials`, credential, headers)
    expect((await add(federated('system:serviceaccount:acme:batch'))).status).toBe(201)
    expect(await add(federated('system:serviceaccount:globex:api'))).toMatchObject({
      status: 409,
      body: { code: 'credential_outside_bounds' },
    })
    expect((await add({ type: 'public_key', jwks: { keys: [newPair('x').jwk] } })).status).toBe(201)
    expect((await mintmark.admin('POST', '/identity-providers', {}, headers)).status).toBe(403)
    const taken = [{ tenant: 'globex', subject: 'system:serviceaccount:acme:*' }]
    for (const bounds of [taken, [{ tenant: 'acme', subject: 'system:serviceaccount:other:*' }]])
      expect(await mintmark.admin('PATCH', `/identity-providers/${providerId}`, { bounds })).toMatchObject({
        status: 409,
        body: { code: 'credential_outside_bounds' },
      })
  })
})

describe('An exchange', () => {
  it('ends with the key, its credential, or its tenant', async () => {
    const subject = 'system:serviceaccount:acme:batch-2'
    const made = (await workloadKey('acme', federated(subject))).body
    const get = () => exchange(assertion({ sub: subject }))
    expect((await get()).status).toBe(200)
    await mintmark.admin('POST', `/keys/${made.key}/disable`)
    expect(await get()).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
    await mintmark.admin('POST', `/keys/${made.key}/enable`)
    await mintmark.admin('POST', '/tenants/acme/suspend')
    expect((await get()).status).toBe(400)
    await mintmark.admin('POST', '/tenants/acme/resume')
    expect((await get()).status).toBe(200)
    await mintmark.admin('DELETE', `/keys/${made.key}/credentials/${made.credential.id}`)
    expect((await get()).status).toBe(400)
  })

  it('asks Postgres where the tenant allows no staleness', async () => {
    await mintmark.admin('PATCH', '/tenants/acme', { staleness_seconds: 0 })
    expect((await exchange(assertion())).status).toBe(200)
    await mintmark.admin('PATCH', '/tenants/acme', { staleness_seconds: null })
  })

  it('stops at both providers that share a key, and works again when one is deleted', async () => {
    const settings = {
      kind: 'oidc',
      issuer: 'https://other.example.com',
      audiences: ['x'],
      jwks: { keys: [pair.jwk] },
    }
    const other = await mintmark.admin('POST', '/identity-providers', settings)
    expect((await exchange(assertion())).status).toBe(400)
    expect(await conflicts('shared_key')).toBe(2)
    await mintmark.admin('DELETE', `/identity-providers/${other.body.id}`)
    expect(await conflicts('shared_key')).toBe(0)
    expect((await exchange(assertion())).status).toBe(200)
  })

  it('has bounds: keys of a credential, and credentials of a tenant, which every replica has in memory', async () => {
    const many = Array.from({ length: 11 }, (_, count) => ({ ...own.jwk, kid: `${count}` }))
    const credential = (keys: object[]) => ({ type: 'public_key', jwks: { keys } })
    expect((await workloadKey('globex', credential(many))).status).toBe(400)
    await mintmark.admin('POST', '/tenants', { id: 'initech' })
    const { body } = await workloadKey('initech', credential([own.jwk]))
    await mintmark.database.asOwner(
      `INSERT INTO key_credentials (id, key_id, definition, sealed_with, seal)
       SELECT 'crd_' || lpad(n::text, 16, '0'), $1, '{}', 'v1:e1:p1', '' FROM generate_series(1, 999) AS n`,
      [body.key],
    )
    const refused = await workloadKey('initech', credential([own.jwk]))
    expect([refused.status, refused.body.code]).toEqual([409, 'too_many_credentials'])
    await mintmark.admin('DELETE', '/tenants/initech?cascade=true')
  })

  it('counts as the last use of the credential', async () => {
    await expect
      .poll(async () => {
        const { data } = (await mintmark.admin('GET', `/keys/${keyId}/credentials`)).body
        return data.find(({ id }: { id: string }) => id === credentialId)?.last_used_at
      })
      .not.toBeNull()
  })

  it('is refused by a row that was changed past the API, which is reported', async () => {
    const { body } = await workloadKey('globex', federated('system:serviceaccount:globex:api'))
    const get = () => exchange(assertion({ sub: 'system:serviceaccount:globex:api' }))
    expect((await get()).status).toBe(200)
    await mintmark.database.asOwner(
      `UPDATE key_credentials SET key_id = '${keyId}' WHERE id = '${body.credential.id}'`,
    )
    await mintmark.admin('POST', `/keys/${keyId}/disable`)
    await mintmark.admin('POST', `/keys/${keyId}/enable`)
    await mintmark.admin('POST', `/keys/${body.key}/disable`)
    await mintmark.admin('POST', `/keys/${body.key}/enable`)
    expect((await get()).status).toBe(400)
    expect((await exchange(assertion())).status).toBe(200)
    const alarm = 'a credential of a key in the database has no valid seal: it is not accepted'
    await until('the alarm', () => mintmark.logs.some(line => line.includes(alarm)))
  })

  it('of a new tenant is not refused because of the rule of a deleted one', async () => {
    await mintmark.admin('PATCH', `/identity-providers/${providerId}`, { bounds: [] })
    await mintmark.admin('POST', '/tenants', { id: 'first' })
    await mintmark.admin('POST', '/tenants', { id: 'second' })
    const sub = 'system:serviceaccount:moved:api'
    const get = () => exchange(assertion({ sub }))
    const first = await workloadKey('first', federated(sub))
    expect((await claimsOf(await get())).sub).toBe(first.body.key)
    const second = await workloadKey('second', federated(sub))
    expect((await get()).status).toBe(400)
    const alarm = 'credentials of two tenants match the same assertion: it is refused'
    await until('the alarm', () => mintmark.logs.some(line => line.includes(alarm)))
    expect(await conflicts('two_tenants')).toBe(1)
    await mintmark.admin('DELETE', '/tenants/first?cascade=true')
    expect((await claimsOf(await get())).sub).toBe(second.body.key)
  })

  it('ends with its key at the check, which asks no database', async () => {
    const sub = 'system:serviceaccount:acme:checked'
    const { body } = await workloadKey('acme', federated(sub))
    const { access_token: token } = (await exchange(assertion({ sub }))).body
    const check = async () =>
      (
        await request(`${mintmark.service.urls.gateway}/check/v1/models`, {
          headers: { authorization: `Bearer ${token}` },
        })
      ).status
    expect(await check()).toBe(200)
    await mintmark.admin('POST', `/keys/${body.key}/revoke`, { reason: 'leaked' })
    expect(await check()).toBe(401)
    expect((await exchange(assertion({ sub }))).status).toBe(400)
  })

  it('needs no database', async () => {
    await mintmark.database.asOwner(
      `REVOKE ALL ON key_credentials, identity_providers, api_keys FROM mintmark_app`,
    )
    expect((await exchange(assertion())).status).toBe(200)
  })
})
