import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readModel } from '../../src/gateway/model-in-body.ts'
import { anyBody, modelOf } from '../gateway-configs/any-body.ts'
import { EMBEDDING_BODIES, FETCHING_BODIES } from '../gateway-configs/media-cases.ts'

const read = (text: string) => readModel(Buffer.from(text), true).model

describe('the model that is found in a body', () => {
  it('is the last one, as a JSON parser finds it, or the body is rejected', () => {
    let found = 0
    fc.assert(
      fc.property(anyBody, text => {
        const model = read(text)
        if (model !== 'llama-3-8b') return
        expect(modelOf(text)).toBe('llama-3-8b')
        found += 1
      }),
      { numRuns: 20_000 },
    )
    expect(found).toBeGreaterThan(500)
  })

  it('is found in every object that names one', () => {
    const name = fc.stringMatching(/^[A-Za-z0-9][-A-Za-z0-9._:/@]{0,95}$/)
    fc.assert(
      fc.property(name, fc.json(), (model, json) => {
        expect(read(JSON.stringify({ before: 1, model, after: JSON.parse(json) }))).toBe(model)
      }),
    )
  })

  it('takes no priority where the engine would read it from the body', () => {
    expect(readModel(Buffer.from('{"model":"a","priority":-9}'), false).fault).toMatch(/priority/)
    expect(readModel(Buffer.from('{"model":"a","x":{"priority":-9}}'), false).model).toBe('a')
  })
})

/** Whether an engine that reads the parsed value of this top-level name would fetch an address. `depth`: open brackets. */
function fetches(value: unknown, top: string, depth = 1, isMedia = false): boolean {
  if (Array.isArray(value)) return value.some(each => fetches(each, top, depth + 1))
  if (typeof value !== 'object' || value === null) return false
  return Object.entries(value).some(([name, inner]) => {
    if (top === 'messages' && depth === 4 && name === 'input') return false
    const media = ['image_url', 'audio_url', 'video_url', 'source'].includes(name)
    const embedded = top === 'input' && depth <= 2 && ['image', 'video'].includes(name)
    if (typeof inner === 'string' && !inner.startsWith('data:'))
      return name === 'url' ? isMedia : embedded || (media && name !== 'source')
    return fetches(inner, top, depth + 1, media)
  })
}

/** JSON in which any character of a name, and any of the white space, may be written in another way. */
function written(value: unknown, choose: () => number): string {
  const space = [' ', '\n\t', '', '', ''][choose() % 5]
  if (Array.isArray(value)) return `[${space}${value.map(each => written(each, choose)).join(`${space},`)}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const name = (text: string) =>
    [...text].map(letter => (choose() % 9 ? letter : `\\u00${letter.charCodeAt(0).toString(16)}`)).join('')
  const entries = Object.entries(value).map(
    ([key, inner]) => `"${name(key)}"${space}:${space}${written(inner, choose)}`,
  )
  return `{${entries.join(`${space},`)}${space}}`
}

describe('media in a body', () => {
  it.each(FETCHING_BODIES)('is not fetched from elsewhere: %s', (_, body, named) => {
    expect(readModel(Buffer.from(body), true).fault).toContain(`\`${named}\``)
  })

  it.each(EMBEDDING_BODIES)('is taken from the body itself: %s', (_, body) => {
    expect(readModel(Buffer.from(body), true)).toEqual({ model: 'acme-sql' })
  })

  it('is found wherever it is, and nothing else is taken for it', () => {
    const name = fc.constantFrom(
      ...['image_url', 'audio_url', 'source', 'url', 'content', 'text', 'image_urls', 'input', 'image'],
    )
    const text = fc.constantFrom(
      'data:image/png;base64,aGk=',
      'http://10.0.0.9/',
      'https:',
      'url',
      '"}]',
      '\\',
    )
    const { tree } = fc.letrec(tie => ({
      tree: fc.oneof({ depthSize: 'medium' }, text, tie('list'), tie('object'), tie('object')),
      list: fc.array(tie('tree'), { maxLength: 3 }),
      object: fc.dictionary(name, tie('tree'), { maxKeys: 4 }),
    }))
    // Parts of a message, which are at a depth of their own.
    const part = fc.record({ role: fc.constant('user'), content: fc.array(tree, { maxLength: 3 }) })
    const value = fc.oneof(tree, fc.array(part, { maxLength: 2 }))
    const top = fc.constantFrom('messages', 'input', 'documents')
    const outcomes = { taken: 0, refused: 0 }
    fc.assert(
      fc.property(top, value, fc.infiniteStream(fc.nat()), (name, nested, choices) => {
        const body = `{"model":"acme-sql","${name}":${written(nested, () => choices.next().value)}}`
        const refused = readModel(Buffer.from(body), true).fault !== undefined
        expect(refused, body).toBe(fetches(JSON.parse(body)[name], name))
        outcomes[refused ? 'refused' : 'taken'] += 1
      }),
      { numRuns: 10_000 },
    )
    expect(Math.min(outcomes.taken, outcomes.refused)).toBeGreaterThan(300)
  })
})
