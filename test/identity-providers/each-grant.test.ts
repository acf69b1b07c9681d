import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { briskClock } from '../support/adjustable-clock.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'
import { hmacJws, jws, newPair } from './assertions.ts'

/** Each check of an assertion by itself, over each grant: the same answer whatever is wrong, and the reason in the log and the audit trail. */

const AUDIENCE = 'https://tokens.example.com'
const TOKEN_TYPE = 'urn:ietf:params:oauth:token-type'
const [one, other] = [newPair('one'), newPair('one')]
const pairs = { pod: one, job: newPair('one'), spiffe: newPair('one'), client: newPair('one') }

let mintmark: TestService
const keys: Record<string, string> = {}
beforeAll(async () => {
  // Refusals are written to the audit trail often: of one write, the trail has 20.
  mintmark = await startTestService({ overrides: { clock: briskClock } })
  await mintmark.admin('POST', '/tenants', { id: 'acme' })
  await addProvider('pod', 'oidc', 'https://issuer.example.com', { subject: 'robot' })
  const claims = { namespace_id: '1', project_id: '2', ref_protected: 'true' }
  await addProvider('job', 'gitlab-ci', 'https://gitlab.example.com', { claims })
  await addProvider('spiffe', 'spiffe', 'spiffe://example.org', { subject: 'spiffe://example.org/api' })
  await addKey('client', { type: 'public_key', jwks: { keys: [pairs.client.jwk] } })
})
afterAll(() => mintmark.stop())

async function addProvider(name: keyof typeof pairs, kind: string, issuer: string, rule: object) {
  const jwks = { keys: [pairs[name].jwk] }
  const settings = { kind, issuer, audiences: [AUDIENCE], algorithms: ['ES256'], jwks }
  const { body } = await mintmark.admin('POST', '/identity-providers', settings)
  await addKey(name, { type: 'federated', provider: body.id, ...rule })
}
async function addKey(name: string, credential: object) {
  const { body, text } = await mintmark.admin('POST', '/tenants/acme/workload-keys', { credential })
  expect(body.key, text).toBeDefined()
  keys[name] = body.key
}

const now = () => Math.floor(Date.now() / 1000)
const times = () => ({ iat: now(), exp: now() + 120 })
const pod = () => ({ iss: 'https://issuer.example.com', aud: AUDIENCE, sub: 'robot', ...times() })
const job = () => ({
  iss: 'https://gitlab.example.com',
  aud: AUDIENCE,
  sub: 'project_path:acme/app:ref_type:branch:ref:main',
  namespace_id: '1',
  project_id: '2',
  ref_protected: 'true',
  ...times(),
})
const svid = () => ({
  iss: 'spiffe://example.org',
  aud: AUDIENCE,
  sub: 'spiffe://example.org/api',
  ...times(),
})
const client = () => ({
  iss: keys.client,
  sub: keys.client,
  aud: mintmark.service.issuer,
  jti: crypto.randomUUID(),
  ...times(),
})

interface GrantCase {
  pair: ReturnType<typeof newPair>
  key: string
  claims: () => Record<string, unknown>
  send: (assertion: string) => ReturnType<TestService['token']>
  refusal: { status: number; body: { error: string; error_description: string } }
}
const subjectRefused = {
  status: 400,
  body: { error: 'invalid_request', error_description: 'Invalid subject_token.' },
}
const grantRefused = {
  status: 400,
  body: { error: 'invalid_grant', error_description: 'Invalid assertion.' },
}
const clientRefused = {
  status: 401,
  body: { error: 'invalid_client', error_description: 'Invalid client assertion.' },
}
const tokenExchange = (type: string) => (subject_token: string) =>
  mintmark.token({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token,
    subject_token_type: `${TOKEN_TYPE}:${type}`,
  })
const clientCredentials = (type: string) => (client_assertion: string) =>
  mintmark.token({
    grant_type: 'client_credentials',
    client_assertion,
    client_assertion_type: `urn:ietf:params:oauth:client-assertion-type:${type}`,
  })
const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'

const GRANTS: Record<string, GrantCase> = {
  'token exchange': {
    pair: pairs.pod,
    key: 'pod',
    claims: pod,
    send: tokenExchange('jwt'),
    refusal: subjectRefused,
  },
  'token exchange of an ID token': {
    pair: pairs.job,
    key: 'job',
    claims: job,
    send: tokenExchange('id_token'),
    refusal: subjectRefused,
  },
  'jwt-bearer': {
    pair: pairs.pod,
    key: 'pod',
    claims: pod,
    send: assertion => mintmark.token({ grant_type: JWT_BEARER, assertion }),
    refusal: grantRefused,
  },
  'jwt-bearer in JSON': {
    pair: pairs.pod,
    key: 'pod',
    claims: pod,
    send: assertion =>
      request(`${mintmark.service.urls.public}/v1/oauth/token`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ grant_type: JWT_BEARER, assertion, organization_id: 'acme' }),
      }),
    refusal: grantRefused,
  },
  'client_credentials with a SPIFFE identity': {
    pair: pairs.spiffe,
    key: 'spiffe',
    claims: svid,
    send: clientCredentials('jwt-spiffe'),
    refusal: clientRefused,
  },
  'client_credentials with private_key_jwt': {
    pair: pairs.client,
    key: 'client',
    claims: client,
    send: clientCredentials('jwt-bearer'),
    refusal: clientRefused,
  },
}

/** Of exchanges alone: a busy machine makes other lines. */
const reasonsSince = (lines: number) =>
  mintmark.logs
    .slice(lines)
    .map(line => JSON.parse(line))
    .flatMap(({ listener, reason }) => (listener === 'public' ? [reason] : []))

const HEADER = { alg: 'ES256', kid: 'one', typ: 'JWT' }
type Make = (of: GrantCase) => string
const claims =
  (changed: object | (() => object)): Make =>
  ({ pair, claims: make }) =>
    jws(pair, HEADER, { ...make(), ...(typeof changed === 'function' ? changed() : changed) })
const header =
  (changed: object): Make =>
  ({ pair, claims: make }) =>
    jws(pair, { ...HEADER, ...changed }, make())
const text =
  (change: (parts: string[]) => string): Make =>
  ({ pair, claims: make }) =>
    change(jws(pair, HEADER, make()).split('.'))

/** What no grant accepts, with its reason in the log; `client`: where that of private_key_jwt is another one. */
const WRONG: [what: string, make: Make, reason: string, client?: string][] = [
  ['that is a word', () => 'assertion', 'assertion_malformed'],
  ['without a signature', text(([head, body]) => `${head}.${body}.`), 'assertion_malformed'],
  ['of five parts', text(parts => `${parts.join('.')}..x`), 'assertion_malformed'],
  ['with padding', text(([head, ...rest]) => `${head}=.${rest.join('.')}`), 'assertion_malformed'],
  ['whose claims are a list', ({ pair }) => jws(pair, HEADER, []), 'assertion_malformed'],
  ['of another type', header({ typ: 'at+jwt' }), 'assertion_type'],
  ['that is a logout token', header({ typ: 'logout+jwt' }), 'assertion_type'],
  ['with crit', header({ crit: ['exp'] }), 'assertion_crit'],
  ['with b64', header({ b64: false }), 'assertion_crit'],
  ['with alg none', header({ alg: 'none' }), 'assertion_alg'],
  [
    'with HS256 and the public key',
    ({ pair, claims: make }) => hmacJws(pair, { ...HEADER, alg: 'HS256' }, make()),
    'assertion_alg',
  ],
  ['with an algorithm of another key', header({ alg: 'RS256' }), 'assertion_alg', 'assertion_unknown_key'],
  ['with an unknown kid', header({ kid: 'two' }), 'assertion_unknown_key'],
  ['signed by another key', ({ claims: make }) => jws(other, HEADER, make()), 'assertion_signature'],
  [
    'with a key of its own',
    ({ claims: make }) => jws(other, { ...HEADER, jwk: other.jwk }, make()),
    'assertion_signature',
  ],
  [
    'with the claims of another one',
    ({ pair, claims: make }) => {
      const [head, , signature] = jws(pair, HEADER, make()).split('.')
      const [, body] = jws(other, HEADER, { ...make(), extra: 1 }).split('.')
      return `${head}.${body}.${signature}`
    },
    'assertion_signature',
  ],
  ['without exp', claims({ exp: undefined }), 'assertion_claims'],
  ['whose exp is text', claims({ exp: '9999999999' }), 'assertion_claims'],
  ['without sub', claims({ sub: undefined }), 'assertion_claims'],
  ['whose sub is a list', claims({ sub: ['robot'] }), 'assertion_claims'],
  ['without aud', claims({ aud: undefined }), 'assertion_claims'],
  ['whose aud has a number', claims({ aud: [AUDIENCE, 7] }), 'assertion_claims'],
  ['whose iss is a list', claims({ iss: ['x'] }), 'assertion_claims'],
  ['whose jti is a number', claims({ jti: 7 }), 'assertion_claims'],
  ['that has expired', claims(() => ({ exp: now() - 1 })), 'assertion_expired'],
  ['that expires now', claims(() => ({ exp: now() })), 'assertion_expired'],
  [
    'that is not valid yet',
    claims(() => ({ nbf: now() + 100, exp: now() + 120 })),
    'assertion_not_yet_valid',
  ],
  ['that was issued later', claims(() => ({ iat: now() + 100 })), 'assertion_not_yet_valid'],
  ['that is valid for more than a day', claims(() => ({ exp: now() + 90_000 })), 'assertion_lives_too_long'],
  ['with nonce', claims({ nonce: 'x' }), 'assertion_of_a_person'],
  ['with at_hash', claims({ at_hash: 'x' }), 'assertion_of_a_person'],
  ['with auth_time', claims({ auth_time: 1 }), 'assertion_of_a_person'],
  ['with sid', claims({ sid: 'x' }), 'assertion_of_a_person'],
  ['with events', claims({ events: {} }), 'assertion_of_a_person'],
  [
    'of another issuer',
    claims({ iss: 'https://other.example.com' }),
    'assertion_unknown_issuer',
    'client_assertion_claims',
  ],
  [
    'of an issuer with a slash more',
    ({ pair, claims: make }) => jws(pair, HEADER, { ...make(), iss: `${make().iss}/` }),
    'assertion_unknown_issuer',
    'client_assertion_claims',
  ],
  [
    'for another audience',
    claims({ aud: 'https://other.example.com' }),
    'assertion_audience',
    'client_assertion_claims',
  ],
  [
    'for another audience as well',
    ({ pair, claims: make }) =>
      jws(pair, HEADER, { ...make(), aud: [make().aud, 'https://api.example.com'] }),
    'assertion_audience',
    'client_assertion_claims',
  ],
  [
    'of another subject',
    ({ pair, claims: make }) => jws(pair, HEADER, { ...make(), sub: `${make().sub}2`, project_id: '3' }),
    'no_credential_matches',
    'client_assertion_claims',
  ],
]

describe.each(Object.entries(GRANTS))('%s', (name, grant) => {
  const isClient = name.includes('private_key_jwt')

  it('accepts an assertion that is right', async () => {
    const { status, body, text: raw } = await grant.send(jws(grant.pair, HEADER, grant.claims()))
    expect(status, raw).toBe(200)
    expect(JSON.parse(Buffer.from(body.access_token.split('.')[1], 'base64url').toString()).sub).toBe(
      keys[grant.key],
    )
  })

  it.each(WRONG)('refuses one %s', async (_, make, reason, clientReason) => {
    const lines = mintmark.logs.length
    const answer = await grant.send(make(grant))
    expect(answer).toMatchObject(grant.refusal)
    expect(Object.keys(answer.body)).toEqual(['error', 'error_description'])
    const logged = reasonsSince(lines)
    expect(logged).toEqual([isClient ? (clientReason ?? reason) : reason])
  })

  it.each([
    [
      'key is disabled',
      'key_disabled',
      () => [`/keys/${keys[grant.key]}/disable`, `/keys/${keys[grant.key]}/enable`],
    ],
    ['tenant is suspended', 'tenant_suspended', () => ['/tenants/acme/suspend', '/tenants/acme/resume']],
  ] as const)('refuses one that is right while its %s', async (_, reason, paths) => {
    const [end, undo] = paths() as [string, string]
    const right = jws(grant.pair, HEADER, grant.claims())
    expect((await mintmark.admin('POST', end)).status).toBe(200)
    const lines = mintmark.logs.length
    expect(await grant.send(right)).toMatchObject(grant.refusal)
    const logged = reasonsSince(lines)
    expect(logged).toEqual([reason])
    expect((await mintmark.admin('POST', undo)).status).toBe(200)
    // What was refused has not been used up.
    expect((await grant.send(right)).status).toBe(200)
  })
})

describe('private_key_jwt', () => {
  it.each<[string, () => object, string]>([
    ['without jti', () => ({ jti: undefined }), 'client_assertion_claims'],
    [
      'for a list with the right audience',
      () => ({ aud: [mintmark.service.issuer] }),
      'client_assertion_claims',
    ],
    [
      'for the token endpoint',
      () => ({ aud: `${mintmark.service.issuer}/oauth/token` }),
      'client_assertion_claims',
    ],
    ['that is valid for an hour', () => ({ exp: now() + 3_600 }), 'client_assertion_lives_too_long'],
    ['of a key without a public key', () => ({ iss: keys.pod, sub: keys.pod }), 'client_unknown'],
  ])('refuses one %s', async (_, changed, reason) => {
    const lines = mintmark.logs.length
    const { send, refusal, pair } = GRANTS['client_credentials with private_key_jwt'] as GrantCase
    expect(await send(jws(pair, HEADER, { ...client(), ...changed() }))).toMatchObject(refusal)
    expect(reasonsSince(lines)).toEqual([reason])
  })
})

describe('an assertion for one way', () => {
  it.each<[string, string, (grant: GrantCase) => GrantCase['send'], string]>([
    [
      'that is no ID token, as one',
      'token exchange',
      () => tokenExchange('id_token'),
      'assertion_as_id_token',
    ],
    [
      'of no SPIFFE provider, as a SPIFFE identity',
      'token exchange',
      () => clientCredentials('jwt-spiffe'),
      'not_a_spiffe_provider',
    ],
    [
      'of a provider, as private_key_jwt',
      'token exchange',
      () => clientCredentials('jwt-bearer'),
      'client_assertion_claims',
    ],
    [
      'of private_key_jwt, as a subject',
      'client_credentials with private_key_jwt',
      () => tokenExchange('jwt'),
      'assertion_unknown_issuer',
    ],
  ])('%s is refused', async (_, name, way, reason) => {
    const grant = GRANTS[name] as GrantCase
    const lines = mintmark.logs.length
    const { status } = await way(grant)(jws(grant.pair, HEADER, grant.claims()))
    expect([400, 401]).toContain(status)
    expect(reasonsSince(lines)).toEqual([reason])
  })
})

describe('the audit trail', () => {
  it('has every reason that was logged', async () => {
    const reasons = reasonsSince(0).filter(reason => reason !== undefined)
    expect(new Set(reasons).size).toBeGreaterThan(15)
    const audited = async () => {
      const found = new Set<string | undefined>()
      for (let more = ''; ; ) {
        const { body } = await mintmark.admin('GET', `/audit-events?action=exchange.refuse&limit=100${more}`)
        // With the provider and the credentials in brackets.
        for (const { changes } of body.data as AuditEvent[]) found.add(changes.reason?.to.replace(/ .*/, ''))
        if (body.next_cursor === null) return found
        more = `&cursor=${encodeURIComponent(body.next_cursor)}`
      }
    }
    await expect
      .poll(async () => {
        const found = await audited()
        return [...new Set(reasons)].filter(reason => !found.has(reason))
      })
      .toEqual([])
  })

  it('has where each refused assertion came from, and its request', async () => {
    const { body } = await mintmark.admin('GET', '/audit-events?action=exchange.refuse&limit=100')
    const requests = mintmark.logs.map(line => JSON.parse(line).request_id)
    // Of more than 20 in one write, the rest has one row without them.
    const listed = (body.data as AuditEvent[]).filter(({ target_id }) => target_id !== 'others')
    expect(listed.length).toBeGreaterThan(15)
    for (const { source, request_id, actor, target_id } of listed) {
      expect([actor, source]).toEqual(['unknown', expect.stringContaining('127.0.0.1')])
      expect(requests).toContain(request_id)
      expect(target_id).toBe('POST /oauth/token')
    }
  })
})

interface AuditEvent {
  actor: string
  source: string | null
  request_id: string | null
  target_id: string
  changes: { reason?: { to: string } }
}
