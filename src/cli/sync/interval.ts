import { InvalidArgumentError } from 'commander'
import { parseWholeNumber } from '../field-options.ts'

export const DEFAULT_INTERVAL_SECONDS = 60
/**
 * A standby key is published for at least 3600 s before it signs. After two rounds that failed there is time for a third.
 */
export const LONGEST_INTERVAL_SECONDS = 1_200

/** The seconds of `--interval`. */
export function parseInterval(value: string): number {
  const seconds = parseWholeNumber(value)
  if (seconds >= 1 && seconds <= LONGEST_INTERVAL_SECONDS) return seconds
  throw new InvalidArgumentError(
    `It must be from 1 to ${LONGEST_INTERVAL_SECONDS} s: a key is published for an hour before it signs, and two rounds may fail.`,
  )
}
