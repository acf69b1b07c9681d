import { beforeAll, describe, expect, it } from 'vitest'
import { type FederatedRule, prepareRule, ruleFaults } from '../../src/identity-providers/federated-rule.ts'
import { type FederatedProvider, Federation } from '../../src/identity-providers/federation.ts'
import { identify, type ProviderKeys } from '../../src/identity-providers/identify.ts'
import type { ProviderSettings } from '../../src/identity-providers/identity-provider.ts'
import { providerFaults } from '../../src/identity-providers/identity-provider.ts'
import type { ProviderKind } from '../../src/identity-providers/provider-kind.ts'
import {
  parseKeySet,
  UnusableKeys,
  type VerificationKey,
} from '../../src/identity-providers/verification-key.ts'
import { hmacJws, jws, newPair } from './assertions.ts'

/** Everything that must be refused: one reason a row, and each row differs from an accepted one in one thing. */

const NOW = 1_795_000_000
const CLUSTER = 'https://kubernetes.default.svc.cluster.local'
const GITHUB = 'https://token.actions.githubusercontent.com'
const AUDIENCE = 'https://tokens.example.com'
const [one, two, three] = [newPair('one'), newPair('two'), newPair('three')]

const provider = (
  id: string,
  kind: ProviderKind,
  issuer: string,
  audience = AUDIENCE,
): FederatedProvider => ({
  id,
  kind,
  issuer,
  audiences: [audience],
  algorithms: ['ES256', 'RS256'],
  bounds: [],
})
const providers = [
  provider('idp_east', 'kubernetes', CLUSTER),
  provider('idp_west', 'kubernetes', CLUSTER, 'https://west.example.com'),
  {
    ...provider('idp_github', 'github-actions', GITHUB),
    bounds: [{ tenantId: 'globex', subject: null, claims: { repository_owner_id: '99' } }],
  },
  provider('idp_spiffe', 'spiffe', 'spiffe://example.org'),
  provider('idp_oidc', 'oidc', 'https://issuer.example.com'),
  provider('idp_down', 'oidc', 'https://down.example.com'),
  provider('idp_shared', 'oidc', 'https://shared.example.com'),
]

const rule = (subject: string | null, claims: FederatedRule['claims'] = {}): FederatedRule => ({
  subject,
  claims,
  allowUntrustedEvents: false,
})
const credential = (
  place: number,
  keyId: string,
  tenantId: string,
  providerId: string,
  of: FederatedRule,
) => ({
  id: `crd_${place}`,
  keyId,
  tenantId,
  providerId,
  rule: prepareRule(of),
})
const repository = { repository_owner_id: '10', repository_id: '20', event_name: ['push', 'schedule'] }
const federation = new Federation(providers, [
  credential(1, 'key_trainer', 'acme', 'idp_east', rule('system:serviceaccount:ml:*')),
  credential(2, 'key_build', 'acme', 'idp_github', rule(null, repository)),
  credential(3, 'key_api', 'acme', 'idp_spiffe', rule('spiffe://example.org/ns/ml/sa/api')),
  credential(4, 'key_a', 'acme', 'idp_oidc', rule('shared')),
  credential(5, 'key_b', 'globex', 'idp_oidc', rule(null, { team: 'x' })),
  credential(6, 'key_c', 'acme', 'idp_oidc', rule('twice')),
  credential(7, 'key_d', 'acme', 'idp_oidc', rule('*')),
  credential(8, 'key_e', 'acme', 'idp_github', rule(null, { ...repository, repository_owner_id: '99' })),
])
const known = new Map<string, readonly VerificationKey[]>()
beforeAll(async () => {
  for (const { id } of providers) {
    const pair = id === 'idp_west' ? two : one
    if (id !== 'idp_down') known.set(id, await parseKeySet({ keys: [pair.jwk] }))
  }
})
const noted: string[] = []
const keys: ProviderKeys = {
  keysOf: id => known.get(id),
  isStopped: id => id === 'idp_shared',
  noteUnknownKey: id => noted.push(id),
}

const HEADER = { alg: 'ES256', kid: 'one', typ: 'JWT' }
const times = { iat: NOW - 10, nbf: NOW - 10, exp: NOW + 600 }
const POD = { iss: CLUSTER, aud: [AUDIENCE], sub: 'system:serviceaccount:ml:trainer', ...times }
const JOB = {
  iss: GITHUB,
  aud: AUDIENCE,
  sub: 'repo:acme/app:ref:refs/heads/main',
  repository_owner_id: '10',
  repository_id: '20',
  event_name: 'push',
  ...times,
}
const SVID = { aud: [AUDIENCE], sub: 'spiffe://example.org/ns/ml/sa/api', exp: NOW + 600 }
const OIDC = { iss: 'https://issuer.example.com', aud: AUDIENCE, ...times }

const found = (text: string, client?: string, asIdToken = false) =>
  identify(text, { federation, keys }, { now: NOW * 1000, expected: { client }, asIdToken })
const without = (claims: object, name: string) =>
  Object.fromEntries(Object.entries(claims).filter(([each]) => each !== name))
const pod = (changed: object) => jws(one, HEADER, { ...POD, ...changed })
const job = (changed: object) => jws(one, HEADER, { ...JOB, ...changed })
const header = (changed: object) => jws(one, { ...HEADER, ...changed }, POD)

describe('an assertion is accepted', () => {
  it.each([
    ['of a pod', pod({}), 'key_trainer'],
    ['without a typ and a kid', jws(one, { alg: 'ES256' }, POD), 'key_trainer'],
    [
      'whose header names a key to fetch, which is not read',
      header({ jku: 'https://evil.example' }),
      'key_trainer',
    ],
    ['of an API server that extends tokens to a year', pod({ exp: NOW + 31_536_000 }), 'key_trainer'],
    ['of a job', job({}), 'key_build'],
    ['of another listed event', job({ event_name: 'schedule' }), 'key_build'],
    ['of SPIFFE, without iss and iat', jws(one, HEADER, SVID), 'key_api'],
  ])('%s', async (_, text, keyId) => {
    expect(await found(text)).toMatchObject({ ok: true, credential: { keyId } })
  })

  it('as an ID token, of a CI job', async () => {
    expect(await found(job({}), undefined, true)).toMatchObject({ ok: true })
  })

  it('for the key and the tenant that the client names', async () => {
    expect(await found(pod({}), 'key_trainer')).toMatchObject({ ok: true })
    expect(await found(pod({}), 'acme')).toMatchObject({ ok: true })
  })
})

const signed = pod({})
const [encodedHeader = '', encodedClaims = '', signature = ''] = signed.split('.')
const flipped = Buffer.from(signature, 'base64url').map((byte, place) => (place === 0 ? byte ^ 1 : byte))

describe('an assertion is refused', () => {
  it.each<[what: string, text: string, reason: string]>([
    ['that is empty', '', 'assertion_malformed'],
    ['that is a word', 'assertion', 'assertion_malformed'],
    ['of two parts', `${encodedHeader}.${encodedClaims}`, 'assertion_malformed'],
    ['without a signature', `${encodedHeader}.${encodedClaims}.`, 'assertion_malformed'],
    ['of five parts, as a JWE', `${signed}..x`, 'assertion_malformed'],
    ['with a newline', `${signed}\n`, 'assertion_malformed'],
    ['with padding', `${encodedHeader}=.${encodedClaims}.${signature}`, 'assertion_malformed'],
    ['of more than 16 KB', pod({ filler: 'x'.repeat(16_384) }), 'assertion_too_long'],
    ['whose header is a list', jws(one, [], POD), 'assertion_malformed'],
    ['whose header is no JSON', jws(one, '{', POD), 'assertion_malformed'],
    ['whose claims are text', jws(one, HEADER, '"x"'), 'assertion_malformed'],
    ['whose claims are null', jws(one, HEADER, 'null'), 'assertion_malformed'],
    ['without alg', jws(one, { kid: 'one' }, POD), 'assertion_malformed'],
    ['whose alg is a number', header({ alg: 7 }), 'assertion_malformed'],
    ['whose kid is an object', header({ kid: {} }), 'assertion_malformed'],
    ['with crit', header({ crit: ['exp'] }), 'assertion_crit'],
    ['with an empty crit', header({ crit: [] }), 'assertion_crit'],
    ['with b64', header({ b64: false }), 'assertion_crit'],
    ['that is our own token', header({ typ: 'at+jwt' }), 'assertion_type'],
    [
      'that is our own token, with the whole media type',
      header({ typ: 'application/at+jwt' }),
      'assertion_type',
    ],
    ['that is a logout token', header({ typ: 'logout+jwt' }), 'assertion_type'],
    ['that is a DPoP proof', header({ typ: 'dpop+jwt' }), 'assertion_type'],
    ['that is an ID-JAG', header({ typ: 'oauth-id-jag+jwt' }), 'assertion_type'],
    ['that is a security event', header({ typ: 'secevent+jwt' }), 'assertion_type'],
    ['with alg none', header({ alg: 'none' }), 'assertion_alg'],
    ['with alg nOnE', header({ alg: 'nOnE' }), 'assertion_alg'],
    ['with HS256 and the public key', hmacJws(one, { ...HEADER, alg: 'HS256' }, POD), 'assertion_alg'],
    ['with an algorithm outside the list', header({ alg: 'ES384' }), 'assertion_alg'],
    ['with an algorithm of another kind of key', header({ alg: 'RS256' }), 'assertion_unknown_key'],
    ['with an unknown kid', header({ kid: 'nine' }), 'assertion_unknown_key'],
    ['with a kid that is a path', header({ kid: '../one' }), 'assertion_unknown_key'],
    ['with a kid of SQL', header({ kid: "one' OR '1'='1" }), 'assertion_unknown_key'],
    ['with a kid of another case', header({ kid: 'ONE' }), 'assertion_unknown_key'],
    ['signed by another key', jws(three, HEADER, POD), 'assertion_signature'],
    [
      'with a key of its own in the header',
      jws(three, { ...HEADER, jwk: three.jwk }, POD),
      'assertion_signature',
    ],
    [
      'whose signature has another bit',
      `${encodedHeader}.${encodedClaims}.${Buffer.from(flipped).toString('base64url')}`,
      'assertion_signature',
    ],
    ['whose signature is zero', `${encodedHeader}.${encodedClaims}.${'A'.repeat(86)}`, 'assertion_signature'],
    [
      'with claims of another',
      `${encodedHeader}.${job({}).split('.')[1]}.${signature}`,
      'assertion_signature',
    ],
    ['without exp', jws(one, HEADER, without(POD, 'exp')), 'assertion_claims'],
    ['whose exp is text', pod({ exp: String(NOW + 600) }), 'assertion_claims'],
    [
      'whose exp is infinite',
      jws(one, HEADER, JSON.stringify(POD).replace(String(NOW + 600), '1e999')),
      'assertion_claims',
    ],
    ['whose exp is negative', pod({ exp: -1 }), 'assertion_claims'],
    ['whose nbf is text', pod({ nbf: 'now' }), 'assertion_claims'],
    ['whose iat is a list', pod({ iat: [NOW] }), 'assertion_claims'],
    ['without sub', jws(one, HEADER, without(POD, 'sub')), 'assertion_claims'],
    ['whose sub is empty', pod({ sub: '' }), 'assertion_claims'],
    ['whose sub is a list', pod({ sub: [POD.sub] }), 'assertion_claims'],
    ['whose sub has a NUL', pod({ sub: `${POD.sub}\0` }), 'assertion_claims'],
    ['without aud', jws(one, HEADER, without(POD, 'aud')), 'assertion_claims'],
    ['whose aud is an empty list', pod({ aud: [] }), 'assertion_claims'],
    ['whose aud has a number', pod({ aud: [AUDIENCE, 7] }), 'assertion_claims'],
    ['whose iss is a list', pod({ iss: [CLUSTER] }), 'assertion_claims'],
    ['whose jti is a number', pod({ jti: 7 }), 'assertion_claims'],
    ['that has expired', pod({ exp: NOW - 1 }), 'assertion_expired'],
    ['that expires now', pod({ exp: NOW }), 'assertion_expired'],
    ['that is valid from tomorrow', pod({ nbf: NOW + 86_400 }), 'assertion_not_yet_valid'],
    ['that was issued tomorrow', pod({ iat: NOW + 86_400, exp: NOW + 90_000 }), 'assertion_not_yet_valid'],
    ['of a job, for more than a day', job({ exp: NOW + 90_000 }), 'assertion_lives_too_long'],
    [
      'without iat, for more than a day',
      jws(one, HEADER, { ...SVID, exp: NOW + 90_000 }),
      'assertion_lives_too_long',
    ],
    ['with nonce', pod({ nonce: 'x' }), 'assertion_of_a_person'],
    ['with at_hash', pod({ at_hash: 'x' }), 'assertion_of_a_person'],
    ['with c_hash', pod({ c_hash: 'x' }), 'assertion_of_a_person'],
    ['with auth_time', pod({ auth_time: NOW }), 'assertion_of_a_person'],
    ['with sid', pod({ sid: 'x' }), 'assertion_of_a_person'],
    ['with events', pod({ events: {} }), 'assertion_of_a_person'],
    ['of an unknown issuer', pod({ iss: 'https://other.example' }), 'assertion_unknown_issuer'],
    ['of an issuer with a slash more', pod({ iss: `${CLUSTER}/` }), 'assertion_unknown_issuer'],
    ['of an issuer in another case', pod({ iss: CLUSTER.toUpperCase() }), 'assertion_unknown_issuer'],
    ['without iss', jws(one, HEADER, without(POD, 'iss')), 'assertion_unknown_issuer'],
    ['for another audience', pod({ aud: 'https://other.example' }), 'assertion_audience'],
    [
      'for another audience as well',
      pod({ aud: [AUDIENCE, 'https://kubernetes.default.svc'] }),
      'assertion_audience',
    ],
    [
      'for the audiences of two clusters',
      pod({ aud: [AUDIENCE, 'https://west.example.com'] }),
      'assertion_audience',
    ],
    [
      'for the other cluster, by the key of this one',
      pod({ aud: 'https://west.example.com' }),
      'assertion_unknown_key',
    ],
    ['of the other cluster, with its kid made equal', jws(two, HEADER, POD), 'assertion_signature'],
    ['of another namespace', pod({ sub: 'system:serviceaccount:ml2:trainer' }), 'no_credential_matches'],
    [
      'of the service account default',
      pod({ sub: 'system:serviceaccount:ml:default' }),
      'no_credential_matches',
    ],
    ['of a node', pod({ sub: 'system:node:worker' }), 'no_credential_matches'],
    ['of a segment more', pod({ sub: 'system:serviceaccount:ml:trainer:x' }), 'no_credential_matches'],
    ['of a pull request', job({ event_name: 'pull_request' }), 'no_credential_matches'],
    ['of a recycled repository name', job({ repository_id: '21' }), 'no_credential_matches'],
    ['of a recycled owner name', job({ repository_owner_id: '11' }), 'no_credential_matches'],
    ['of a job without its event', jws(one, HEADER, without(JOB, 'event_name')), 'no_credential_matches'],
    ['of what is reserved for another tenant', job({ repository_owner_id: '99' }), 'outside_bounds'],
    [
      'of another trust domain',
      jws(one, HEADER, { ...SVID, sub: 'spiffe://example.com/ns/ml/sa/api' }),
      'assertion_unknown_issuer',
    ],
    [
      'of a trust domain by its beginning',
      jws(one, HEADER, { ...SVID, sub: 'spiffe://example.org.evil/ns/ml/sa/api' }),
      'assertion_unknown_issuer',
    ],
    [
      'of the trust domain itself',
      jws(one, HEADER, { ...SVID, sub: 'spiffe://example.org' }),
      'assertion_unknown_issuer',
    ],
    [
      'of another trust domain, in the name of this one',
      jws(one, HEADER, { ...SVID, iss: 'spiffe://example.org', sub: 'spiffe://example.com/ns/ml/sa/api' }),
      'assertion_subject',
    ],
    [
      'of a SPIFFE issuer, without a SPIFFE subject',
      jws(one, HEADER, { ...SVID, iss: 'spiffe://example.org', sub: 'api' }),
      'assertion_subject',
    ],
    [
      'that the rules of two tenants match',
      jws(one, HEADER, { ...OIDC, sub: 'shared', team: 'x' }),
      'credentials_of_two_tenants_match',
    ],
    [
      'that the rules of two keys match',
      jws(one, HEADER, { ...OIDC, sub: 'twice' }),
      'credentials_of_two_keys_match',
    ],
    [
      'of an issuer without keys',
      jws(one, HEADER, { ...OIDC, iss: 'https://down.example.com', sub: 'x' }),
      'provider_unavailable',
    ],
    [
      'of an issuer whose key another has',
      jws(one, HEADER, { ...OIDC, iss: 'https://shared.example.com', sub: 'x' }),
      'provider_stopped',
    ],
  ])('%s', async (_, text, reason) => {
    expect(await found(text)).toMatchObject({ ok: false, reason })
  })

  it('as an ID token, of anything but a CI job', async () => {
    expect(await found(pod({}), undefined, true)).toMatchObject({
      ok: false,
      reason: 'assertion_as_id_token',
    })
  })

  it.each(['key_build', 'globex', 'key_nobody', ''])('for the client %j', async client => {
    expect(await found(pod({}), client)).toMatchObject({ ok: false, reason: 'not_as_expected' })
  })

  it('of two tenants, also when the client names one', async () => {
    const text = jws(one, HEADER, { ...OIDC, sub: 'shared', team: 'x' })
    expect(await found(text, 'acme')).toMatchObject({ reason: 'credentials_of_two_tenants_match' })
  })

  it('and only an unknown key is a reason to ask the issuer again', async () => {
    noted.length = 0
    await found(header({ kid: 'nine' }))
    await found(jws(three, HEADER, POD))
    expect(noted).toEqual(['idp_east'])
  })
})

const github = { repository_owner_id: '1', repository_id: '2', event_name: 'push' }
const gitlab = { namespace_id: '1', project_id: '2', ref_protected: 'true' }

describe('a rule', () => {
  it.each<[string, ProviderKind, FederatedRule]>([
    ['of a namespace', 'kubernetes', rule('system:serviceaccount:ml:*')],
    ['of a repository', 'github-actions', rule(null, github)],
    [
      'of pull requests, on purpose',
      'github-actions',
      { ...rule(null, { ...github, event_name: 'pull_request' }), allowUntrustedEvents: true },
    ],
    ['of a project', 'gitlab-ci', rule(null, gitlab)],
    ['of a SPIFFE path', 'spiffe', rule('spiffe://example.org/ns/*/sa/api')],
    ['of an exact subject', 'oidc', rule('robot')],
    ['of a claim', 'oidc', rule(null, { '/realm/team': ['a', 'b'] })],
  ])('%s is accepted', (_, kind, given) => {
    expect(ruleFaults(kind, given)).toEqual([])
  })

  it.each<[string, ProviderKind, FederatedRule, pointer: string]>([
    ['of every namespace', 'kubernetes', rule('system:serviceaccount:*:trainer'), '/subject'],
    ['of every subject of a cluster', 'kubernetes', rule(null), '/subject'],
    ['of a user of a cluster', 'kubernetes', rule('system:admin'), '/subject'],
    ['of part of a name', 'kubernetes', rule('system:serviceaccount:ml:train*'), '/subject'],
    [
      'of a repository by its name',
      'github-actions',
      rule('repo:acme/app:*', { repository: 'acme/app', repository_id: '2', event_name: 'push' }),
      '/claims/repository_owner_id',
    ],
    [
      'of an owner only',
      'github-actions',
      rule(null, { repository_owner_id: '1', event_name: 'push' }),
      '/claims/repository_id',
    ],
    [
      'of two repositories',
      'github-actions',
      rule(null, { ...github, repository_id: ['2', '3'] }),
      '/claims/repository_id',
    ],
    [
      'of any event',
      'github-actions',
      rule(null, { repository_owner_id: '1', repository_id: '2' }),
      '/claims/event_name',
    ],
    [
      'of pull requests',
      'github-actions',
      rule(null, { ...github, event_name: ['push', 'pull_request'] }),
      '/claims/event_name',
    ],
    [
      'of pull_request_target',
      'github-actions',
      rule(null, { ...github, event_name: 'pull_request_target' }),
      '/claims/event_name',
    ],
    [
      'of workflow_run',
      'github-actions',
      rule(null, { ...github, event_name: 'workflow_run' }),
      '/claims/event_name',
    ],
    [
      'of issue_comment',
      'github-actions',
      rule(null, { ...github, event_name: 'issue_comment' }),
      '/claims/event_name',
    ],
    [
      'of untrusted events of GitLab',
      'gitlab-ci',
      { ...rule(null, gitlab), allowUntrustedEvents: true },
      '/allow_untrusted_events',
    ],
    [
      'of a project by its path',
      'gitlab-ci',
      rule(null, { ...gitlab, project_id: 'acme/app' }),
      '/claims/project_id',
    ],
    [
      'of unprotected refs',
      'gitlab-ci',
      rule(null, { ...gitlab, ref_protected: 'false' }),
      '/claims/ref_protected',
    ],
    ['of any ref', 'gitlab-ci', rule(null, { namespace_id: '1', project_id: '2' }), '/claims/ref_protected'],
    ['of every trust domain', 'spiffe', rule('spiffe://*/ns/ml/sa/api'), '/subject'],
    ['of a trust domain itself', 'spiffe', rule('spiffe://example.org'), '/subject'],
    ['of everybody', 'oidc', rule(null), '/subject'],
    ['of a star only', 'oidc', rule('*'), '/subject'],
    ['of an empty subject', 'oidc', rule(''), '/subject'],
    ['of the issuer', 'oidc', rule(null, { iss: 'https://issuer.example.com' }), '/claims/iss'],
    ['of the audience', 'oidc', rule(null, { aud: AUDIENCE }), '/claims/aud'],
    ['of the subject as a claim', 'oidc', rule(null, { sub: 'robot' }), '/claims/sub'],
    ['with a star in a claim', 'oidc', rule('robot', { team: 'ml-*' }), '/claims/team'],
    ['without a value', 'oidc', rule('robot', { team: [] }), '/claims/team'],
    ['with an empty value', 'oidc', rule('robot', { team: '' }), '/claims/team'],
    ['with a pointer to a top-level claim', 'oidc', rule('robot', { '/sub': 'x' }), '/claims/~1sub'],
    ['with a pointer that is wrong', 'oidc', rule('robot', { '/a/~2': 'x' }), '/claims/~1a~1~02'],
  ])('%s is refused', (_, kind, given, pointer) => {
    expect(ruleFaults(kind, given).map(fault => fault.pointer)).toEqual([pointer])
  })
})

const SETTINGS: ProviderSettings = {
  name: '',
  kind: 'oidc',
  issuer: 'https://issuer.example.com',
  jwks: { keys: [] },
  jwksUri: null,
  caPem: null,
  allowAddresses: [],
  jwksMaxStaleSeconds: 86_400,
  audiences: [AUDIENCE],
  algorithms: ['ES256'],
  bounds: [],
}
const bounds = (tenantId: string, claims: Record<string, string>, subject: string | null = null) => ({
  tenantId,
  subject,
  claims,
})

describe('a provider is refused', () => {
  it.each<[string, Partial<ProviderSettings>, pointer: string]>([
    ['over plain HTTP', { issuer: 'http://issuer.example.com' }, '/issuer'],
    ['with a query', { issuer: 'https://issuer.example.com?x=1' }, '/issuer'],
    ['with a password', { issuer: 'https://a:b@issuer.example.com' }, '/issuer'],
    ['with keys, and an address of them', { jwksUri: 'https://issuer.example.com/keys' }, '/jwks_uri'],
    ['with an address of keys over plain HTTP', { jwks: null, jwksUri: 'http://x.example/' }, '/jwks_uri'],
    ['with an address of keys that is a file', { jwks: null, jwksUri: 'file:///etc/passwd' }, '/jwks_uri'],
    [
      'with a password in the address of its keys',
      { jwks: null, jwksUri: 'https://a:b@x.example/' },
      '/jwks_uri',
    ],
    ['with a trust domain only', { kind: 'spiffe', issuer: 'spiffe://example.org', jwks: null }, '/jwks'],
    ['with certificates that are none', { caPem: 'x' }, '/ca_pem'],
    ['with all addresses', { allowAddresses: ['0.0.0.0/0:443'] }, '/allow_addresses/0'],
    ['with addresses without a port', { allowAddresses: ['10.0.0.0/8'] }, '/allow_addresses/0'],
    ['with a trust domain, of another kind', { issuer: 'spiffe://example.org' }, '/issuer'],
    ['with the audience of its issuer', { audiences: ['https://issuer.example.com'] }, '/audiences'],
    ...[
      'https://kubernetes.default.svc',
      'https://kubernetes.default.svc.cluster.local',
      'kubernetes.default.svc:443',
      'https://kubernetes.default/',
      'https://KUBERNETES.default',
      'kubernetes',
    ].map<[string, Partial<ProviderSettings>, string]>(audience => [
      `with the audience ${audience} of an API server`,
      { audiences: [audience] },
      '/audiences',
    ]),
    ['with bounds that name nothing', { bounds: [bounds('acme', {})] }, '/bounds/0'],
    [
      'with bounds that overlap',
      { bounds: [bounds('acme', { team: 'a' }), bounds('globex', { group: 'a' })] },
      '/bounds',
    ],
    [
      'with subjects that overlap',
      { bounds: [bounds('acme', {}, 'a:*'), bounds('globex', {}, '*:b')] },
      '/bounds',
    ],
  ])('%s', (_, changed, pointer) => {
    expect(providerFaults({ ...SETTINGS, ...changed }).map(fault => fault.pointer)).toEqual([pointer])
  })

  it.each<[string, unknown]>([
    ['that are no set', []],
    ['that are none', { keys: [] }],
    ['that are private', { keys: [{ ...one.jwk, d: 'AA' }] }],
    ['that are symmetric', { keys: [{ kty: 'oct', k: 'AAAA' }] }],
    ['for encryption', { keys: [{ ...one.jwk, use: 'enc' }] }],
    ['that may not verify', { keys: [{ ...one.jwk, key_ops: ['encrypt'] }] }],
    ['on no curve', { keys: [{ ...one.jwk, crv: 'secp256k1' }] }],
    ['whose point is on no curve', { keys: [{ ...one.jwk, x: one.jwk.y }] }],
    ['of another algorithm', { keys: [{ ...one.jwk, alg: 'RS256' }] }],
    [
      'of RSA with 1024 bits',
      { keys: [{ kty: 'RSA', e: 'AQAB', n: Buffer.alloc(128, 0xff).toString('base64url') }] },
    ],
    [
      'of RSA with 16384 bits',
      { keys: [{ kty: 'RSA', e: 'AQAB', n: Buffer.alloc(2048, 0xff).toString('base64url') }] },
    ],
    [
      // Every number is its own signature.
      'of RSA with the exponent 1',
      { keys: [{ kty: 'RSA', e: 'AQ', n: Buffer.alloc(256, 0xff).toString('base64url') }] },
    ],
    [
      'of RSA with an exponent of 64 bits',
      { keys: [{ kty: 'RSA', e: '_________w', n: Buffer.alloc(256, 0xff).toString('base64url') }] },
    ],
    ['that are too many', { keys: Array(101).fill(one.jwk) }],
  ])('with keys %s', async (_, set) => {
    await expect(parseKeySet(set)).rejects.toThrow(UnusableKeys)
  })
})
