import fc from 'fast-check'

const SURROGATES = { first: 0xd800, count: 0x800 }
const anyCharacter = fc
  .integer({ min: 0, max: 0x10_ffff - SURROGATES.count })
  .map(code => String.fromCodePoint(code < SURROGATES.first ? code : code + SURROGATES.count))

/**
 * Text of any characters, assigned or not, without lone surrogates. The unit `binary` of fast-check is the same, and builds a
 * table of a million characters each time: seconds in each test file.
 */
export const anyText = (lengths: { minLength?: number; maxLength?: number } = {}) =>
  fc.array(anyCharacter, lengths).map(characters => characters.join(''))
