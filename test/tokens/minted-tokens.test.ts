import { expect, it } from 'vitest'
import type { Caller } from '../../src/authentication/authenticator.ts'
import { MintedTokens } from '../../src/tokens/minted-tokens.ts'

const caller = (secretId: string) => ({ secretId, at: 0, rights: {} }) as unknown as Caller
const token = { kid: 'k', expiresIn: 300 } as Parameters<MintedTokens['keep']>[1]

it('keeps the tokens of busy clients when there are more than fit', () => {
  const minted = new MintedTokens({ isPublished: () => true })
  minted.keep(caller('busy'), token)
  minted.keep(caller('idle'), token)
  for (let secret = 0; secret < 20_000; secret++) {
    minted.keep(caller(`sec_${secret}`), token)
    minted.find(caller('busy'))
  }
  expect(minted.find(caller('busy'))).toBe(token)
  expect(minted.find(caller('idle'))).toBeUndefined()
  expect(minted.size).toBe(20_000)
})
