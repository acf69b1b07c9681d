import { describe, expect, it } from 'vitest'
import { beginningOfDay, beginningOfMonth, clocksIn } from '../../src/system/time-zone.ts'

const at = (ms: number) => new Date(ms).toISOString()

describe('A day of a time zone', () => {
  it.each([
    ['UTC', [2026, 11, 30], '2026-11-30T00:00:00.000Z'],
    ['Europe/Berlin', [2026, 11, 1], '2026-10-31T23:00:00.000Z'],
    ['America/New_York', [2026, 11, 2], '2026-11-02T05:00:00.000Z'],
    ['Asia/Kolkata', [2026, 1, 1], '2025-12-31T18:30:00.000Z'],
    ['Asia/Kathmandu', [2026, 1, 1], '2025-12-31T18:15:00.000Z'],
    ['Pacific/Kiritimati', [2026, 1, 1], '2025-12-31T10:00:00.000Z'],
    ['Pacific/Pago_Pago', [2026, 1, 1], '2026-01-01T11:00:00.000Z'],
    // Clocks go from midnight to 01:00.
    ['Asia/Beirut', [2026, 3, 29], '2026-03-28T22:00:00.000Z'],
    // Clocks go from 01:00 back to midnight: it has two first hours.
    ['America/Havana', [2026, 11, 1], '2026-11-01T04:00:00.000Z'],
    // This day did not exist: it begins with the next one.
    ['Pacific/Apia', [2011, 12, 30], '2011-12-30T10:00:00.000Z'],
    ['Europe/Berlin', [2026, 13, 1], '2026-12-31T23:00:00.000Z'],
  ] as const)('in %s: %j begins at %s', (zone, [year, month, day], begins) => {
    expect(at(beginningOfDay({ year, month, day }, zone))).toBe(begins)
  })

  it('is in a month that begins there', () => {
    expect(at(beginningOfMonth(Date.parse('2026-10-31T23:30Z'), 'Europe/Berlin'))).toBe(
      '2026-10-31T23:00:00.000Z',
    )
    expect(at(beginningOfMonth(Date.parse('2026-10-31T22:30Z'), 'Europe/Berlin'))).toBe(
      '2026-09-30T22:00:00.000Z',
    )
  })

  it('is one of the calendar of ISO 8601, whatever the locale', () => {
    expect(clocksIn('Asia/Tehran')(Date.parse('2026-11-30T20:29Z'))).toEqual({
      ...{ year: 2026, month: 11, day: 30, hour: 23, minute: 59, offset: 210 },
    })
  })

  it('needs a zone that exists', () => {
    expect(() => clocksIn('Mars/Olympus')).toThrow(RangeError)
  })
})
