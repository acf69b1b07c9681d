import type { DatabaseTimeouts } from '../../src/database/database.ts'

/**
 * Ten times as long as in production: on a busy machine Postgres may need a second for what it does in a millisecond, and a
 * test of something else would get a 503. Tests of an outage have the times of production.
 */
export const PATIENT: DatabaseTimeouts = {
  connectMs: 5_000,
  queryMs: 8_000,
  limits: { lock: '6s', statement: '20s', idle: '4s' },
}
