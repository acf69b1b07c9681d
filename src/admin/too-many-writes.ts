import { TooMany } from '../errors.ts'

/** The administrators of a tenant changed too much in this minute. */
export class TooManyWrites extends TooMany {
  override readonly name = 'TooManyWrites'
  constructor(limit: number, retryAfterSeconds: number) {
    super(
      'too_many_writes',
      `Too many changes by the administrators of this tenant: the limit is ${limit} per minute (tenant_writes_per_minute). ` +
        'Retry after the time in Retry-After, or ask an operator of the installation to raise the limit.',
      retryAfterSeconds,
    )
  }
}
