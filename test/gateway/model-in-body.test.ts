import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type FoundModel, readModel } from '../../src/gateway/model-in-body.ts'
import { BodyTurns } from '../../src/http/body-turns.ts'
import { anyBody, modelOf } from '../gateway-configs/any-body.ts'
import { EMBEDDING_BODIES, FETCHING_BODIES } from '../gateway-configs/media-cases.ts'

/** Of a body, in one turn. */
const PART = 5_000

const found = (text: string, takesPriority = true): Promise<FoundModel> =>
  readModel(Buffer.from(text), takesPriority, new BodyTurns())
const read = async (text: string) => (await found(text)).model

describe('the model that is found in a body', () => {
  it('is the last one, as a JSON parser finds it, or the body is rejected', async () => {
    let count = 0
    await fc.assert(
      fc.asyncProperty(anyBody, async text => {
        const model = await read(text)
        if (model !== 'llama-3-8b') return
        expect(modelOf(text)).toBe('llama-3-8b')
        count += 1
      }),
      { numRuns: 20_000 },
    )
    expect(count).toBeGreaterThan(500)
  })

  it('is found after a string of any length, with quotes and backslashes at any place', async () => {
    const piece = fc.oneof(
      fc.constantFrom('"', '\\', '","model":"x'),
      fc.nat(150).map(length => 'é'.repeat(length)),
    )
    const strings = fc.array(piece, { maxLength: 20 }).map(pieces => pieces.join(''))
    await fc.assert(
      fc.asyncProperty(strings, fc.boolean(), async (image, isNested) => {
        expect(await read(JSON.stringify({ image: isNested ? [image] : image, model: 'a' }))).toBe('a')
      }),
      { numRuns: 5_000 },
    )
  })

  it('is found in every object that names one', async () => {
    const name = fc.stringMatching(/^[A-Za-z0-9][-A-Za-z0-9._:/@]{0,95}$/)
    await fc.assert(
      fc.asyncProperty(name, fc.json(), async (model, json) => {
        expect(await read(JSON.stringify({ before: 1, model, after: JSON.parse(json) }))).toBe(model)
      }),
    )
  })

  it('takes no priority where the engine would read it from the body', async () => {
    expect((await found('{"model":"a","priority":-9}', false)).fault).toMatch(/priority/)
    expect((await found('{"model":"a","x":{"priority":-9}}', false)).model).toBe('a')
  })

  it.each([
    ['texts', '"a"'],
    ['open lists', '['],
    ['objects', '{"a":1}'],
    ['names of media', '{"image_url":{"url":"data:a"}}'],
    ['numbers', '1'],
  ])('is found in turns, none of which has more than its part of the body: %s', async (_, value) => {
    const body = Buffer.from(`{"messages":[${Array(30_000).fill(value).join(',')}]}`)
    const turns: BodyTurns & { places: number[] } = {
      end: PART,
      places: [0],
      next: async at => {
        turns.places.push(at)
        turns.end = at + PART
      },
    }
    const inTurns = await readModel(body, true, turns)
    expect(inTurns).toEqual(await readModel(body, true, { end: body.length * 99, next: () => expect.fail() }))
    const parts = turns.places.map((at, index) => at - (turns.places[index - 1] ?? 0))
    expect(Math.max(...parts)).toBeLessThanOrEqual(PART)
    expect(turns.places.length).toBeGreaterThan(body.length / PART - 1)
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
  it.each(FETCHING_BODIES)('is not fetched from elsewhere: %s', async (_, body, named) => {
    expect((await found(body)).fault).toContain(`\`${named}\``)
  })

  it.each(EMBEDDING_BODIES)('is taken from the body itself: %s', async (_, body) => {
    expect(await found(body)).toEqual({ model: 'acme-sql' })
  })

  it('is found wherever it is, and nothing else is taken for it', async () => {
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
    await fc.assert(
      fc.asyncProperty(top, value, fc.infiniteStream(fc.nat()), async (name, nested, choices) => {
        const body = `{"model":"acme-sql","${name}":${written(nested, () => choices.next().value)}}`
        const refused = (await found(body)).fault !== undefined
        expect(refused, body).toBe(fetches(JSON.parse(body)[name], name))
        outcomes[refused ? 'refused' : 'taken'] += 1
      }),
      { numRuns: 10_000 },
    )
    expect(Math.min(outcomes.taken, outcomes.refused)).toBeGreaterThan(300)
  })
})
