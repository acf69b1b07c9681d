import { decodeJwt, type JWTPayload } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LIMIT_NAMES, LIMIT_RANGE } from '../../src/tenants/limits.ts'
import { jsonBytes, LONGEST_JSON } from '../../src/tenants/name.ts'
import { LONGEST_TOKEN_BYTES } from '../../src/tokens/claims.ts'
import { post } from '../oauth/token-post.ts'
import { startTestService, type TestService } from '../support/test-service.ts'

const ISSUER = `https://tokens.example.test/${'i'.repeat(172)}`
const TENANT = 't'.repeat(63)
const TIER = 'T'.repeat(96)
const LONGEST_LIMITS = Object.fromEntries(LIMIT_NAMES.map(name => [name, LIMIT_RANGE.max]))

let mintmark: TestService
let jwt: string
let claims: JWTPayload
beforeAll(async () => {
  // Of the algorithms, RS256 and PS256 have the longest signatures.
  mintmark = await startTestService({ env: { MINTMARK_ISSUER: ISSUER, MINTMARK_SIGNING_ALG: 'RS256' } })
  const { admin } = mintmark
  const accepted = async (method: string, path: string, body: object) =>
    (await admin(method, path, body)).status < 300
  const widen = (field: string) => (list: string[]) =>
    accepted('PATCH', `/tenants/${TENANT}`, { [field]: list })

  const letter = (first: string) => (index: number) => String.fromCharCode(first.charCodeAt(0) + index)
  await fill(96, letter('a'), list => accepted('PUT', `/models/${list.at(-1)}`, {}))
  await admin('PUT', `/tiers/${TIER}`, { priority: -1_000_000_000 })
  await admin('POST', '/tenants', { id: TENANT, tier: TIER, limits: LONGEST_LIMITS })
  const [base] = (await admin('GET', '/models')).body.data
  await fill(96, letter('A'), async list => {
    await admin('PUT', `/adapters/${list.at(-1)}`, { base_model: base.name })
    return widen('adapters')(list)
  })
  const audiences = await fill(100, index => `urn:${index}`, widen('audiences'))
  const scopes = await fill(64, letter('a'), widen('scopes'))
  const key = await admin('POST', `/tenants/${TENANT}/keys`, { scopes, limits: LONGEST_LIMITS })

  const form = new URLSearchParams({ grant_type: 'client_credentials', client_secret: key.body.secret })
  for (const audience of audiences) form.append('resource', audience)
  const { status, text, body } = await post(mintmark, form.toString())
  if (status !== 200) throw new Error(text)
  jwt = body.access_token
  claims = decodeJwt(jwt)
})
afterAll(() => mintmark.stop())

/** Adds the longest names that are accepted, until not even the shortest is. Each name begins with its `stem`. */
async function fill(
  longest: number,
  stem: (index: number) => string,
  accept: (list: string[]) => Promise<boolean>,
): Promise<string[]> {
  const list: string[] = []
  const next = (length: number) => stem(list.length).padEnd(length, 'x')
  for (let length = longest; length >= stem(list.length).length; length--) {
    while (await accept([...list, next(length)])) list.push(next(length))
  }
  return list
}

describe('The longest token that the write limits allow', () => {
  // Gateways, and the servers behind them, limit a request's headers: Node's and nginx's limits begin at 8 KiB in total.
  it('is shorter than what verifiers parse', () => {
    expect(jwt.length).toBeLessThan(LONGEST_TOKEN_BYTES)
  })

  it.each([
    ['models', () => jsonBytes(claims.models), LONGEST_JSON.models],
    ['adapters', () => jsonBytes(claims.adapters), LONGEST_JSON.adapters],
    ['audiences', () => jsonBytes(claims.aud), LONGEST_JSON.audiences],
    ['scopes', () => jsonBytes(String(claims.scope).split(' ')), LONGEST_JSON.scopes],
    ['issuer', () => String(claims.iss).length, 200],
    ['tenant', () => String(claims.tenant).length, 63],
    ['tier', () => String(claims.tier).length, 96],
    // Two buckets of four limits: {"requests_per_unit":4294967295,"unit":"MINUTE"}.
    ['limits', () => jsonBytes(claims.limits), 504],
    ['priority', () => String(claims.priority).length, '-1000000000'.length],
  ])('is at the limit of each part: %s', (_, length, limit) => {
    expect(length()).toBe(limit)
  })
})
