import { expect, it } from 'vitest'
import { recordsInJson } from '../../src/telemetry/otlp-json.ts'

function countOf(value: unknown) {
  const logRecords = [{ attributes: [{ key: 'count', value }] }]
  const report = JSON.stringify({ resourceLogs: [{ scopeLogs: [{ logRecords }] }] })
  const [read] = recordsInJson(Buffer.from(report), new Set(['count']))
  return read?.().attributes.get('count')
}

// https://protobuf.dev/programming-guides/json/: an int64 is a decimal number in text, a double a number or text.
it.each([
  ['an integer in text', { intValue: '12' }, 12],
  ['an integer', { intValue: 12 }, 12],
  ['a negative integer', { intValue: '-3' }, -3],
  ['a double', { doubleValue: 12.5 }, 12.5],
  ['a double in text', { doubleValue: '12.5' }, 12.5],
  ['a double in text, with an exponent', { doubleValue: '1.5e3' }, 1_500],
  ['text without digits', { intValue: '' }, undefined],
  ['hexadecimal digits', { intValue: '0x10' }, undefined],
  ['an exponent in an integer', { intValue: '1e3' }, undefined],
  ['blanks', { intValue: ' 12 ' }, undefined],
  ['a double that is no number', { doubleValue: 'NaN' }, undefined],
  ['a double without digits', { doubleValue: '' }, undefined],
])('reads %s as protobuf has it', (_, value, expected) => {
  expect(countOf(value)).toBe(expected)
})
