import { expect, it } from 'vitest'
import { prunedTooYoung } from '../../src/audit/audit-retention.ts'

const DAY_MS = 86_400_000
const NOW = Date.UTC(2027, 2, 1)
const ago = (days: number, ms = 0) => new Date(NOW - days * DAY_MS + ms).toISOString()
const cut = { id: 10, hash: 'h' }
const young = (id: number, at: string, prunedAt = ago(0)) =>
  prunedTooYoung(cut, prunedAt, { checkpoints: [{ id, hash: 'x', at }], now: NOW })

it.each<[string, number, string, string?]>([
  ['an old checkpoint before the cut', 5, ago(91)],
  ['a recent one of the last row that was cut: the rows after it are there', 10, ago(1)],
  ['a recent one beyond the cut', 11, ago(1)],
  ['one at the limit, within the minute for clocks', 5, ago(90, 59_000)],
  ['one that was old when the row says that it was pruned', 5, ago(100), ago(5)],
])('%s proves nothing', (_, id, at, prunedAt) => {
  expect(young(id, at, prunedAt)).toBeUndefined()
})

it.each<[string, number, string, string?]>([
  ['one from within the retention', 9, ago(89)],
  ['one just beyond the minute', 9, ago(90, 61_000)],
  ['one that was young when the rows were pruned, although it is old now', 9, ago(100), ago(50)],
  ['one that the forged time of a pruning in the future makes look old', 9, ago(30), ago(-200)],
])('%s proves that a younger row was cut', (_, id, at, prunedAt) => {
  expect(young(id, at, prunedAt)).toEqual({ id: 10, after: at })
})

it('names the first row of which that is proven', () => {
  const checkpoints = [8, 3, 6].map(id => ({ id, hash: 'x', at: ago(id) }))
  expect(prunedTooYoung(cut, ago(0), { checkpoints, now: NOW })).toEqual({ id: 4, after: ago(3) })
})
