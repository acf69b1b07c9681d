import { expect, it } from 'vitest'
import { type AttributeValue, readUsageRecord } from '../../src/usage/usage-record.ts'

const NOW = 1_800_000_000_000
const BY = { audiences: ['vllm'], dedupSeconds: 3_600, now: NOW }

function read(more: Record<string, AttributeValue>, at = NOW) {
  const attributes = new Map<string, AttributeValue>(
    Object.entries({
      'mintmark.request.id': 'one',
      'mintmark.tenant': 'acme',
      'mintmark.key': `key_${'A'.repeat(16)}`,
      'mintmark.audience': 'vllm',
      'mintmark.outcome': 'completed',
      'gen_ai.usage.input_tokens': 10,
      'gen_ai.usage.output_tokens': 5,
      ...more,
    }),
  )
  return readUsageRecord({ at, attributes }, BY)
}

it.each([
  [200, false],
  [399, false],
  [400, true],
  [429, true],
  [499, false],
  [500, true],
])('without an outcome, the status %s is one of a refused request: %s', (status, refused) => {
  const said = { 'mintmark.outcome': '', 'http.response.status_code': String(status) }
  expect(read(said)).toMatchObject({ record: { refused } })
})

it.each([
  [9, 9],
  [10, 10],
  [11, 10],
])('of 10 tokens of input, %s that were cached count as %s', (cached, counted) => {
  const { record } = read({ 'mintmark.usage.cached_input_tokens': cached }) as { record: object }
  expect(record).toMatchObject({ inputTokens: 10, cachedInputTokens: counted })
})

it.each([
  ['too_old', NOW - 3_600_001],
  ['in_future', NOW + 300_001],
])('a record beyond the limit is rejected: %s', (rejected, at) => {
  expect(read({}, at)).toEqual({ rejected })
  expect(read({}, at + (at < NOW ? 1 : -1))).toMatchObject({ record: {} })
})

const HOURS = 3_600_000
const MOST_DAYS = 7 * 24 * HOURS

it.each([119 * 60_000, String(119 * 60_000)])('a request of %j ms is counted by its end', duration => {
  const at = NOW - 2 * HOURS
  expect(read({}, at)).toEqual({ rejected: 'too_old' })
  expect(read({ 'mintmark.request.duration_ms': duration }, at)).toMatchObject({
    record: { hour: Math.floor((NOW - 60_000) / HOURS) },
  })
})

it.each(['', '-', '-1', -1, 1.5, '1.5', '1e9', 'NaN', Number.NaN, true, ['9999999']])(
  'the duration %j is none',
  duration => {
    expect(read({ 'mintmark.request.duration_ms': duration }, NOW)).toEqual(read({}, NOW))
    expect(read({ 'mintmark.request.duration_ms': duration }, NOW - HOURS - 1)).toEqual({
      rejected: 'too_old',
    })
  },
)

it.each([2 ** 40, '999999999999999', MOST_DAYS])('a duration of %s ms is one of seven days', duration => {
  const said = { 'mintmark.request.duration_ms': duration }
  expect(read(said, NOW - MOST_DAYS)).toEqual(read({}, NOW))
  expect(read(said, NOW - MOST_DAYS - HOURS - 1)).toEqual({ rejected: 'too_old' })
})

it('a request that would end more than 5 minutes ahead is rejected', () => {
  expect(read({ 'mintmark.request.duration_ms': 300_001 })).toEqual({ rejected: 'in_future' })
  expect(read({ 'mintmark.request.duration_ms': 300_000 })).toMatchObject({ record: {} })
})
