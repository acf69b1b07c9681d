import { expect, it } from 'vitest'
import { NegativeCache } from '../../src/directory/negative-cache.ts'
import { adjustableClock } from '../support/adjustable-clock.ts'

it('a negative result is cached for a second, however often it is requested', () => {
  const clock = adjustableClock()
  const answers = new NegativeCache(clock)
  answers.note('nobody', undefined)
  clock.forward(0.5)
  expect(answers.find('nobody')).toEqual({ snapshot: undefined })
  clock.forward(0.6)
  expect(answers.find('nobody')).toBeUndefined()
})

it('a flood of other keys evicts none that is presented repeatedly', () => {
  const answers = new NegativeCache({ ...adjustableClock(), monotonicMs: () => 1 })
  answers.note('repeated', undefined)
  answers.note('once', undefined)
  for (let key = 0; key < 30_000; key++) {
    answers.note(`other ${key}`, undefined)
    answers.find('repeated')
  }
  expect(answers.find('repeated')).toBeDefined()
  expect(answers.find('once')).toBeUndefined()
  expect(answers.size).toBe(10_000)
})
