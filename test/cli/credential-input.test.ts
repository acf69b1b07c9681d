import { describe, expect, it } from 'vitest'
import { tokenIn } from '../../src/cli/jwt.ts'

/** What people paste for a key or a token. */

describe('a credential is found', () => {
  it.each([
    ['alone', 'eyJ.a.b'],
    ["in a header's value", 'Bearer eyJ.a.b'],
    ['in a header', 'authorization: bearer  eyJ.a.b'],
    ['in a response of the token endpoint', '{"access_token":"eyJ.a.b","expires_in":300}'],
  ])('%s', (_, input) => expect(tokenIn(input)).toBe('eyJ.a.b'))
})

describe('text around it is named, and is not taken for a fault of the credential:', () => {
  it.each([
    ['double quotes', '"mmk_a"', 'has quotes around it'],
    ['one quote that was not closed', "'mmk_a", 'has quotes around it'],
    ['two of them', 'mmk_a\nmmk_b', 'has a space or a line break in it'],
    ['a line that the terminal wrapped', 'eyJhbG\nciOi.a.b', 'has a space or a line break in it'],
    ['a line of .env', 'MINTMARK_API_KEY=mmk_a', 'begins with the name of a variable'],
    ['percent-encoding', 'Bearer%20eyJ.a.b', 'is percent-encoded'],
  ])('%s', (_, input, words) => {
    expect(() => tokenIn(input)).toThrow(words)
    expect(() => tokenIn(input)).not.toThrow(/mmk_|eyJ/)
  })
})
