import { CannotStart } from '../errors.ts'

/** Why the embedded Postgres cannot start, for the developer at the terminal: printed without a stack. */
export class EmbeddedPostgresError extends CannotStart {
  override readonly name = 'EmbeddedPostgresError'
}
