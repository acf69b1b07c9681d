import { CannotStart } from '../errors.ts'

/** Why the embedded Postgres cannot start, said to the developer at the terminal: the message is enough, no stack. */
export class EmbeddedPostgresError extends CannotStart {
  override readonly name = 'EmbeddedPostgresError'
}
