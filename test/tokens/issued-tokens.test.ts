import { expect, it } from 'vitest'
import type { Caller } from '../../src/authentication/authenticator.ts'
import { IssuedTokens } from '../../src/tokens/issued-tokens.ts'
import type { AccessToken } from '../../src/tokens/token-issuer.ts'

const caller = (secretId: string, rights: object = {}, more: object = {}) =>
  ({ secretId, at: 0, rights, ...more }) as unknown as Caller
const token = { kid: 'k', expiresIn: 300 } as AccessToken

/** `issued`: how many tokens were signed. */
function minting() {
  const minted = new IssuedTokens({ isPublished: () => true })
  const minting = { minted, issued: 0, of: (one: Caller) => minted.of(one, issue) }
  const issue = async () => {
    minting.issued++
    await new Promise(resolve => setImmediate(resolve))
    return { ...token }
  }
  return minting
}

it('keeps the tokens of busy clients when there are more than fit', async () => {
  const { minted } = minting()
  const of = (secret: string) => minted.of(caller(secret), async () => ({ ...token }))
  const [busy, idle] = [await of('busy'), await of('idle')]
  for (let secret = 0; secret < 20_000; secret++) {
    await of(`sec_${secret}`)
    await of('busy')
  }
  expect(minted.size).toBe(20_000)
  expect(await of('busy')).toBe(busy)
  expect(await of('idle')).not.toBe(idle)
})

it('signs one token for all requests that come until it is signed', async () => {
  const signing = minting()
  const tokens = await Promise.all(Array.from({ length: 200 }, () => signing.of(caller('sec_a'))))
  expect([new Set(tokens).size, signing.issued]).toEqual([1, 1])
  await signing.of(caller('sec_b'))
  expect(signing.issued).toBe(2)
})

it('gives a token again in the first half of its life only, so that the engine still accepts it', async () => {
  const signing = minting()
  const of = (at: number) => signing.of(caller('sec_a', {}, { at }))
  const first = await of(0)
  expect(await of(149_999)).toBe(first)
  expect(await of(150_000)).not.toBe(first)
})

it('shares no token with other rights, and none across a change of the directory', async () => {
  const signing = minting()
  const first = signing.of(caller('sec_a'))
  const other = signing.of(caller('sec_a', { models: ['m'] }))
  signing.minted.clear()
  const after = signing.of(caller('sec_a'))
  const tokens = await Promise.all([first, other, after])
  expect([new Set(tokens).size, signing.issued]).toEqual([3, 3])
  // The one from before the change is not kept.
  expect(await signing.of(caller('sec_a'))).toBe(tokens[2])
})

it('shares no token that is being signed with requests after a change, and does not keep it', async () => {
  const signing = minting()
  const before = signing.of(caller('sec_a'))
  signing.minted.clear()
  const after = signing.of(caller('sec_a'))
  const [old, current] = await Promise.all([before, after])
  expect([old === current, signing.issued]).toEqual([false, 2])
  expect(await signing.of(caller('sec_a'))).toBe(current)
})

it.each([
  ['another end', { endsAt: 1_000 }],
  ['another tenant', { tenantId: 'other' }],
  ['another epoch of the key', { keyEpoch: 'b' }],
  ['another epoch of the tenant', { tenantEpoch: 'b' }],
])('reuses no token for %s', async (_, more) => {
  const signing = minting()
  const own = { endsAt: null, tenantId: 'acme', keyEpoch: 'a', tenantEpoch: 'a' }
  const first = await signing.of(caller('sec_a', {}, own))
  expect(await signing.of(caller('sec_a', {}, own))).toBe(first)
  expect(await signing.of(caller('sec_a', {}, { ...own, ...more }))).not.toBe(first)
})

it('repeats the fault of the issuer to all that wait, and asks it again afterwards', async () => {
  const minted = new IssuedTokens({ isPublished: () => true })
  const fails = () => minted.of(caller('sec_a'), () => Promise.reject(new Error('no signing key')))
  const both = await Promise.allSettled([fails(), fails()])
  expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  expect(await minted.of(caller('sec_a'), async () => token)).toBe(token)
})
