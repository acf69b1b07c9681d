import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Assertion } from '../../src/identity-providers/assertion.ts'
import { type ClaimValues, claimAt, matchesClaims } from '../../src/identity-providers/claim-values.ts'
import { matchesRule, prepareRule } from '../../src/identity-providers/federated-rule.ts'
import { type FederatedCredential, Federation } from '../../src/identity-providers/federation.ts'
import {
  admits,
  areDisjoint,
  isWithinBounds,
  type ProviderBounds,
} from '../../src/identity-providers/provider-bounds.ts'
import {
  matchesSubject,
  parseSubject,
  subjectContains,
  subjectsOverlap,
} from '../../src/identity-providers/subject-pattern.ts'

const assertionOf = (sub: string, claims: Record<string, unknown> = {}): Assertion => ({
  alg: 'ES256',
  kid: undefined,
  typ: undefined,
  iss: 'https://issuer.example',
  sub,
  aud: 'mintmark',
  exp: 2e9,
  iat: undefined,
  jti: undefined,
  claims: { sub, ...claims },
  jws: '',
})

/** Few names, so that patterns and subjects meet. */
const segment = fc.constantFrom('a', 'b', 'default', '')
const separator = fc.constantFrom(':', '/')
const joined = (part: fc.Arbitrary<string>) =>
  fc
    .tuple(part, fc.array(fc.tuple(separator, part), { maxLength: 3 }))
    .map(([first, rest]) => first + rest.flat().join(''))
const subject = joined(segment).filter(text => text !== '')
const pattern = joined(fc.oneof(segment, fc.constant('*'))).filter(text => text !== '')
const parsed = (text: string) => {
  const found = parseSubject(text)
  if (!found) throw new Error(`not a pattern: ${text}`)
  return found
}

describe('the subject of a rule', () => {
  it.each([
    ['system:serviceaccount:ml:*', 'system:serviceaccount:ml:trainer', true],
    ['system:serviceaccount:ml:*', 'system:serviceaccount:ml:default', false],
    ['system:serviceaccount:ml:default', 'system:serviceaccount:ml:default', true],
    ['system:serviceaccount:ml:*', 'system:serviceaccount:ml:a:b', false],
    ['system:serviceaccount:ml:*', 'system:serviceaccount:ml:', false],
    ['system:serviceaccount:ml:*', 'system:serviceaccount:ml2:trainer', false],
    ['spiffe://example.org/ns/*/sa/api', 'spiffe://example.org/ns/ml/sa/api', true],
    ['spiffe://example.org/ns/*/sa/api', 'spiffe://example.org/ns/ml/x/sa/api', false],
    ['spiffe://example.org/ns/*', 'spiffe://example.org.evil/ns/a', false],
    ['repo:acme/app', 'REPO:acme/app', false],
  ])('%s, given %s: %s', (rule, given, expected) => {
    expect(matchesSubject(parsed(rule), given)).toBe(expected)
  })

  it.each(['team-*', '*x', 'a:b*:c', '**', ''])('has no wildcard within a segment: %j', text => {
    expect(parseSubject(text)).toBeUndefined()
  })

  it('without a wildcard matches itself and nothing else', () => {
    fc.assert(
      fc.property(subject, subject, (a, b) => {
        expect(matchesSubject(parsed(a), b)).toBe(a === b)
      }),
    )
  })

  it('that contains another accepts all that the other accepts', () => {
    fc.assert(
      fc.property(pattern, pattern, subject, (outer, inner, given) => {
        fc.pre(subjectContains(parsed(outer), parsed(inner)) && matchesSubject(parsed(inner), given))
        expect(matchesSubject(parsed(outer), given)).toBe(true)
      }),
      { maxSkipsPerRun: 10_000, numRuns: 50 },
    )
  })

  it('overlaps whatever accepts the same subject', () => {
    fc.assert(
      fc.property(subject, pattern, pattern, (given, a, b) => {
        if (matchesSubject(parsed(a), given) && matchesSubject(parsed(b), given))
          expect(subjectsOverlap(parsed(a), parsed(b))).toBe(true)
      }),
      { numRuns: 500 },
    )
  })
})

describe('the claims of a rule', () => {
  const claims = {
    text: 'a',
    number: 7,
    flag: true,
    list: ['a', 7, { x: 1 }],
    'https://example.com/team': 'ml',
    'kubernetes.io': { namespace: 'ml', 'a/b': { '~': 'tilde' } },
    nothing: null,
    large: 9_007_199_254_740_992,
  }

  it.each<[string, ClaimValues, boolean]>([
    ['an exact text', { text: 'a' }, true],
    ['one of several', { text: ['b', 'a'] }, true],
    ['another text', { text: 'A' }, false],
    ['a number by its JSON text', { number: '7' }, true],
    ['a boolean by its JSON text', { flag: 'true' }, true],
    ['null by its JSON text', { nothing: 'null' }, true],
    ['a member of a list', { list: 'a' }, true],
    ['a number in a list', { list: '7' }, true],
    ['an object in a list', { list: '{"x":1}' }, true],
    ['part of a text', { text: '' }, false],
    ['a name that looks like a URL', { 'https://example.com/team': 'ml' }, true],
    ['a pointer', { '/kubernetes.io/namespace': 'ml' }, true],
    ['a pointer with escapes', { '/kubernetes.io/a~1b/~0': 'tilde' }, true],
    ['a pointer into a list', { '/list/0': 'a' }, false],
    ['a claim that is absent', { missing: 'undefined' }, false],
    ['a name of every object', { constructor: 'x', toString: 'x' }, false],
    ['one of two claims that is wrong', { text: 'a', number: '8' }, false],
    ['a star, literally', { text: '*' }, false],
    ['an integer beyond 2^53, of which another one is the same number', { large: '9007199254740992' }, false],
  ])('match %s', (_, accepted, expected) => {
    expect(matchesClaims(accepted, claims)).toBe(expected)
  })

  it('are read by own members only', () => {
    expect(claimAt(claims, '/kubernetes.io/constructor')).toBeUndefined()
    expect(claimAt(claims, '__proto__')).toBeUndefined()
  })
})

const names = fc.constantFrom('p', 'q', 'list')
const value = fc.constantFrom('1', '2', '3')
const accepted = fc.dictionary(names, fc.oneof(value, fc.uniqueArray(value, { minLength: 1 })), {
  maxKeys: 3,
  noNullPrototype: true,
})
const given = fc.dictionary(names, fc.oneof(value, fc.uniqueArray(value)), { noNullPrototype: true })
const named = fc.record({ subject: fc.option(pattern), claims: accepted })
const boundsOf = (tenantId: string): fc.Arbitrary<ProviderBounds> =>
  named.map(bounds => ({ tenantId, ...bounds }))

describe('bounds', () => {
  it('that are disjoint never admit the same assertion', () => {
    fc.assert(
      fc.property(boundsOf('acme'), boundsOf('globex'), subject, given, (a, b, sub, claims) => {
        fc.pre(areDisjoint(a, b))
        const assertion = assertionOf(sub, claims)
        expect(admits(a, assertion) && admits(b, assertion)).toBe(false)
      }),
      { numRuns: 300 },
    )
  })

  it('admit no assertion with a list, of which each of two tenants could name a member', () => {
    const bounds = (tenantId: string, p: string): ProviderBounds => ({
      tenantId,
      subject: null,
      claims: { p },
    })
    for (const own of [bounds('acme', '1'), bounds('globex', '2')]) {
      expect(admits(own, assertionOf('robot', { p: ['1', '2'] }))).toBe(false)
      expect(admits(own, assertionOf('robot', { p: own.claims.p }))).toBe(true)
    }
  })

  it('that contain a rule admit every assertion of it whose claims are single values', () => {
    fc.assert(
      fc.property(named, boundsOf('acme'), subject, given, (rule, bounds, sub, claims) => {
        const single = Object.values(claims).every(each => typeof each === 'string')
        const assertion = assertionOf(sub, claims)
        const prepared = prepareRule({ ...rule, allowUntrustedEvents: false })
        if (single && isWithinBounds(rule, bounds) && matchesRule(prepared, assertion))
          expect(admits(bounds, assertion)).toBe(true)
      }),
      { numRuns: 500 },
    )
  })
})

describe('any set of rules', () => {
  const credential = (place: number): fc.Arbitrary<FederatedCredential> =>
    fc
      .record({ rule: named, tenantId: fc.constantFrom('acme', 'globex'), key: fc.constantFrom('1', '2') })
      .map(({ rule, tenantId, key }) => ({
        id: `crd_${place}`,
        keyId: `key_${tenantId}${key}`,
        tenantId,
        providerId: 'idp_1',
        rule: prepareRule({ ...rule, allowUntrustedEvents: false }),
      }))
  const credentials = fc.tuple(credential(1), credential(2), credential(3), credential(4))
  const client = fc.constantFrom(undefined, 'key_acme1', 'acme', 'globex')

  it('gives an assertion the key that every matching rule agrees on, and never another tenant', () => {
    fc.assert(
      fc.property(credentials, subject, given, client, (rules, sub, claims, asked) => {
        const assertion = assertionOf(sub, claims)
        const provider = {
          id: 'idp_1',
          kind: 'oidc',
          issuer: 'https://issuer.example',
          audiences: ['mintmark'],
          algorithms: ['ES256'],
          bounds: [],
        } as const
        // By looking at every rule, without the index.
        const listed = rules.filter(({ rule }) => isListed(rule))
        const matching = listed.filter(({ rule }) => matchesRule(rule, assertion))
        const tenants = new Set(matching.map(({ tenantId }) => tenantId))
        const wanted = matching.filter(
          each => asked === undefined || asked === each.keyId || asked === each.tenantId,
        )
        const keys = new Set(wanted.map(({ keyId }) => keyId))
        const found = new Federation([provider], listed).match(assertion, provider, { client: asked })
        const allowed = tenants.size === 1 && keys.size === 1
        expect(found.ok).toBe(allowed)
        if (found.ok) expect([...keys]).toEqual([found.credential.keyId])
      }),
      { numRuns: 300 },
    )
  })
})

/** A rule without a subject and without a claim, which no provider accepts, is not in the index. */
const isListed = ({ subject: pattern, claims }: FederatedCredential['rule']) =>
  pattern !== null || Object.keys(claims).length > 0
