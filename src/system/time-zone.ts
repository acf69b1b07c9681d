/** Days and months of time zones (IANA names), which have 23 to 25 hours where clocks change. */

/** What clocks show. */
export interface LocalTime {
  year: number
  /** From 1. */
  month: number
  day: number
  hour: number
  minute: number
  /** Minutes by which clocks there are ahead of UTC. */
  offset: number
}

/**
 * Whether the name means the same here and in Postgres. Abbreviations do not: Node.js reads IST as India's and CET with summer time, Postgres
 * IST as Israel's and CET without. Short names, like NZ, are not accepted either. Offsets have the opposite sign in Postgres.
 */
export function isTimeZone(name: string): boolean {
  try {
    clocksIn(name)
    return /^(UTC|GMT)$/i.test(name) || (/^[A-Za-z]/.test(name) && !/^[A-Za-z]{1,4}$/.test(name))
  } catch {
    return false
  }
}

const MINUTE_MS = 60_000
const QUARTER_MS = 15 * MINUTE_MS
/** No zone is further from UTC. */
const FURTHEST_MS = 60 * QUARTER_MS

/** What clocks show there at a time in epoch milliseconds. @throws {RangeError} for an unknown zone */
export function clocksIn(timeZone: string): (ms: number) => LocalTime {
  const format = new Intl.DateTimeFormat('en-US', {
    ...{ timeZone, calendar: 'iso8601', numberingSystem: 'latn', hourCycle: 'h23' },
    ...{ year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric' },
  })
  return ms => {
    const parts = new Map(format.formatToParts(ms).map(({ type, value }) => [type, Number(value)]))
    const of = (type: Intl.DateTimeFormatPartTypes) => parts.get(type) ?? 0
    const [year, month, day, hour, minute] = [of('year'), of('month'), of('day'), of('hour'), of('minute')]
    // The clocks show whole minutes.
    const offset = Math.ceil((Date.UTC(year, month - 1, day, hour, minute) - ms) / MINUTE_MS)
    return { year, month, day, hour, minute, offset }
  }
}

/**
 * When this day begins there, in epoch milliseconds: its first quarter of an hour, whatever clocks show then. A month or day beyond its
 * range counts on, as in `Date.UTC`.
 */
export function beginningOfDay(
  { year, month, day }: Pick<LocalTime, 'year' | 'month' | 'day'>,
  timeZone: string,
): number {
  const localTime = clocksIn(timeZone)
  const wanted = Date.UTC(year, month - 1, day)
  for (let ms = wanted - FURTHEST_MS; ; ms += QUARTER_MS) {
    const local = localTime(ms)
    if (Date.UTC(local.year, local.month - 1, local.day) >= wanted) return ms
  }
}

/** When the month begins there in which this time is. */
export function beginningOfMonth(ms: number, timeZone: string): number {
  return beginningOfDay({ ...clocksIn(timeZone)(ms), day: 1 }, timeZone)
}
