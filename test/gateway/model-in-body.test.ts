import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readModel } from '../../src/gateway/model-in-body.ts'
import { anyBody, modelOf } from '../gateway-configs/any-body.ts'

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
