import { InvalidArgumentError } from 'commander'
import { beginningOfDay, clocksIn, isTimeZone, type LocalTime } from '../../system/time-zone.ts'
import { parseTime } from '../time-arguments.ts'

/** Times of `mintmark usage`, whose days and months begin where those of --time-zone do. */

const DAY = /^(\d{4})-(\d\d)-(\d\d)$/
const MONTH = /^(\d{4})-(0[1-9]|1[0-2])$/

/** For `argParser`: as `parseTime`, but a day stays a day until the time zone is known. */
export function parseDayOrTime(text: string): string {
  const time = parseTime('ago')(text)
  return DAY.test(text) ? text : time
}

/** For `argParser`: `2026-11`. */
export function parseMonth(text: string): string {
  if (!MONTH.test(text)) throw new InvalidArgumentError('It must be a month like 2026-11.')
  return text
}

/** The time of `parseDayOrTime`, in RFC 3339. */
export function timeIn(timeZone: string, dayOrTime: string): string {
  const [, year, month, day] = DAY.exec(dayOrTime) ?? []
  if (day === undefined) return dayOrTime
  return beginningIn(timeZone, { year: Number(year), month: Number(month), day: Number(day) })
}

/** From when to when a month lasts, in RFC 3339. */
export function monthIn(timeZone: string, text: string): { from: string; to: string } {
  const [year = 0, month = 0] = text.split('-').map(Number)
  return {
    from: beginningIn(timeZone, { year, month, day: 1 }),
    to: beginningIn(timeZone, { year, month: month + 1, day: 1 }),
  }
}

const beginningIn = (timeZone: string, day: Parameters<typeof beginningOfDay>[0]) =>
  new Date(beginningOfDay(day, timeZone)).toISOString()

/** For `argParser`: an IANA name. */
export function parseTimeZone(text: string): string {
  if (isTimeZone(text)) return text
  throw new InvalidArgumentError('It must be a time zone like Europe/Berlin, or UTC.')
}

const two = (number: number) => String(Math.abs(number)).padStart(2, '0')

/** Shows beginnings of groups of time as the clocks there show them: `2026-11`, `2026-11-01`, or `2026-11-01 00:00+01:00`. */
export function localStarts(unit: 'hour' | 'day' | 'month', timeZone: string): (start: string) => string {
  const localTime = clocksIn(timeZone)
  return start => shownStart(localTime(Date.parse(start)), unit)
}

function shownStart(
  { year, month, day, hour, minute, offset }: LocalTime,
  unit: 'hour' | 'day' | 'month',
): string {
  const date = [String(year).padStart(4, '0'), two(month), two(day)]
  if (unit !== 'hour') return date.slice(0, unit === 'day' ? 3 : 2).join('-')
  const zone =
    offset === 0 ? 'Z' : `${offset < 0 ? '-' : '+'}${two(Math.trunc(offset / 60))}:${two(offset % 60)}`
  return `${date.join('-')} ${two(hour)}:${two(minute)}${zone}`
}
