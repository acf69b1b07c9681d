import { describe, expect, it } from 'vitest'
import { Invalid } from '../../src/errors.ts'
import { MOST_JSON_VALUES, parseJson } from '../../src/http/body.ts'

const parsed = (text: string) => parseJson(Buffer.from(text))

describe('a body in JSON', () => {
  /** The list or object around them is one value more. */
  const MOST = MOST_JSON_VALUES

  it.each([
    ['numbers', (count: number) => `[${Array(count).fill(1).join(',')}]`],
    [
      'lists',
      (count: number) =>
        `[${Array(count / 2)
          .fill('[]')
          .join(',')}]`,
    ],
    ['names', (count: number) => `{${Array.from({ length: count }, (_, n) => `"n${n}":1`).join(',')}}`],
  ])('has at most so many values: %s', (_, of) => {
    expect(Object.keys(parsed(of(MOST)) as object).length).toBeGreaterThanOrEqual(MOST / 2)
    expect(() => parsed(of(MOST + 2))).toThrow(`more than ${MOST} values`)
  })

  it('has any number of commas and brackets in its texts', () => {
    const text = '[{,\\",'.repeat(MOST)
    expect(parsed(JSON.stringify({ text }))).toEqual({ text })
  })

  it.each([
    ['a NUL in a list', String.raw`{"a":[1,{"b":["x","\u0000"]}]}`, '/a/1/b/1'],
    ['a lone surrogate in a name', String.raw`{"a":{"\ud800":1}}`, '/a/\ud800'],
    ['__proto__', '{"a":[{"__proto__":{}}]}', '/a/0/__proto__'],
  ])('names what cannot be stored: %s', (_, text, pointer) => {
    let thrown: unknown
    try {
      parsed(text)
    } catch (error) {
      thrown = error
    }
    expect(thrown).toBeInstanceOf(Invalid)
    expect((thrown as Invalid).faults).toMatchObject([{ pointer }])
  })
})
