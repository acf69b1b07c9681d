import { InvalidArgumentError } from 'commander'
import { systemClock } from '../system/clock.ts'

/** Times and durations as people type them: `90d`, `12h`, `1h30m`, `2027-01-31`. */

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 }

/** Each unit at most once, the largest first, as Go, systemd and Prometheus write durations. */
const DURATION = /^(?:\d{1,9}w)?(?:\d{1,9}d)?(?:\d{1,9}h)?(?:\d{1,9}m)?(?:\d{1,9}s)?$/

const DAY = /^\d{4}-\d\d-\d\d$/
const INSTANT = /^(\d{4}-\d\d-\d\d)T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/i

/** Seconds of `90d` or `1h30m`; undefined for anything else, also for a number without a unit. */
function secondsOf(text: string): number | undefined {
  if (text === '' || !DURATION.test(text)) return undefined
  const parts = text.matchAll(/(\d+)([a-z])/g)
  return [...parts].reduce((sum, [, count, unit = '']) => sum + Number(count) * (UNITS[unit] ?? 0), 0)
}

/** For `argParser`: whole seconds from `90d`, `12h`, `30m` or plain seconds. */
export function parseSeconds(text: string): number {
  const seconds = /^-?\d{1,15}$/.test(text) ? Number(text) : secondsOf(text)
  if (seconds === undefined)
    throw new InvalidArgumentError(
      'It must be a duration like 90d, 12h or 30m, or a whole number of seconds.',
    )
  return seconds
}

/** For `argParser`: whole days from `90d`, `12w` or plain days. */
export function parseDays(text: string): number {
  const seconds = /^\d{1,9}$/.test(text) ? Number(text) * 86_400 : secondsOf(text)
  if (seconds === undefined || seconds % 86_400 !== 0)
    throw new InvalidArgumentError('It must be a whole number of days, like 90 or 90d.')
  return seconds / 86_400
}

/** Where a duration is counted to: `90d` of a time of expiry is in 90 days, of a filter by the last use 90 days ago. */
export type Direction = 'from now' | 'ago'

/**
 * For `argParser`: an RFC 3339 time from one, from a day (its beginning in UTC), or from a duration before or after now
 * by the clock of this machine. `Date.parse` takes the 31st of November for the 1st of December, so days are checked.
 */
export const parseTime =
  (direction: Direction) =>
  (text: string): string => {
    const seconds = secondsOf(text)
    if (seconds !== undefined) {
      const sign = direction === 'ago' ? -1 : 1
      return rfc3339(systemClock.wallMs() + sign * seconds * 1000)
    }
    const day = DAY.test(text) ? text : INSTANT.exec(text)?.[1]
    const whole = DAY.test(text)
      ? `${text}T00:00:00Z`
      : text.toUpperCase().replace(/(T\d\d:\d\d)(?=[Z+-])/, '$1:00')
    if (day === undefined || !isDay(day) || Number.isNaN(Date.parse(whole)))
      throw new InvalidArgumentError(`It must be a time like ${EXAMPLES[direction]}.`)
    return whole
  }

const EXAMPLES: Readonly<Record<Direction, string>> = {
  'from now': '2027-01-31T12:00:00Z, 2027-01-31, or 90d for 90 days from now',
  ago: '2026-01-31T12:00:00Z, 2026-01-31, or 90d for 90 days ago',
}

const isDay = (day: string) => new Date(`${day}T00:00:00Z`).toJSON()?.startsWith(day) ?? false

function rfc3339(ms: number): string {
  const date = new Date(ms)
  if (Number.isNaN(date.getTime())) throw new InvalidArgumentError('It is too long.')
  return date.toISOString().replace(/\.\d+Z$/, 'Z')
}
