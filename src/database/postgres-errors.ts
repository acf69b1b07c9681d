import pg from 'pg'
import { Conflict, Forbidden, Invalid, NotFound, PreconditionFailed, Unavailable } from '../errors.ts'

/** SQLSTATEs of server failures, as opposed to faulty statements. Appendix A of the PostgreSQL manual. */
const UNAVAILABLE = [
  /^08/, // connection exceptions
  /^53/, // out of connections, memory, disk
  /^54/, // a limit of the server: the depth of its stack, its queue of notifications
  /^57P0[1-5]$/, // shutting down, starting up, session ended
  /^25006$/, // a standby: read only
  /^25P0[34]$/, // transaction ended by the idle or transaction timeout
  /^40/, // deadlock, serialization
  /^55P03$/, // lock not available in time
  /^57014$/, // statement timeout
  /^XX00/, // internal error, corruption
  /^58/, // I/O error
  /^P0001$/, // raised by a trigger that is not ours
  /^(55000|42P10)$/, // a publication, and no replica identity for it; no unique constraint
  /^23502$/, // a column that is not ours, or a default that was dropped
  /^28/, // our role or password is rejected
  /^3D000$/, // our database does not exist
  /^42501$/, // our rights were taken
  /^(3F000|42P01|42703|42883)$/, // our schema, a table, a column or a function was dropped
]

/** Kysely's, after the pool was closed. */
const CLOSED = 'driver has already been destroyed'

/** The domain error of each constraint. The domain checks most of them first; the constraint covers races. */
const CONSTRAINTS: Record<string, () => Error> = {
  tiers_pkey: () => new Conflict('tier_exists', 'A tier with this name already exists.'),
  models_pkey: () => new Conflict('name_taken', 'A model or adapter with this name already exists.'),
  models_base_model: () =>
    new Conflict('model_in_use', 'An adapter is based on this model. Delete the adapter first.'),
  tenants_pkey: () => new Conflict('tenant_id_taken', 'A tenant with this id already exists.'),
  deleted_tenants_pkey: () =>
    new Conflict(
      'tenant_id_taken',
      'A tenant with this id was deleted, and ids are never reused. Choose another id.',
    ),
  tenant_tiers_tier_fkey: () =>
    new Conflict('tier_in_use', 'A tenant has this tier in allowed_tiers. Remove it there first.'),
  api_keys_tier_fkey: () => new Conflict('tier_in_use', 'A key has this tier. Set another tier first.'),
  tenant_grants_model_fkey: () =>
    new Conflict('model_in_use', 'A tenant lists this model or adapter. Remove it there first.'),
  key_grants_model_fkey: () =>
    new Conflict('model_in_use', 'A key lists this model or adapter. Remove it there first.'),
  api_key_secrets_client_id: () =>
    new Conflict('client_id_taken', 'A client with this client_id was imported concurrently. Retry.'),
  api_key_secrets_lookup_hash: () =>
    new Conflict('client_id_taken', 'A client with the same secret was imported concurrently. Retry.'),
  key_credentials_provider_id_fkey: () =>
    new Conflict(
      'identity_provider_in_use',
      'A credential of a key names this provider. Delete it there first.',
    ),
  api_keys_tenant_id_fkey: () => new NotFound('tenant'),
  ...Object.fromEntries(
    ['tier', 'model', 'tenant_id', 'key_id', 'provider_id', 'reporter_id'].flatMap(column => [
      [
        `set_objects_${column}_key`,
        () => new Conflict('in_another_set', 'The object was put into a set meanwhile.'),
      ],
      [`set_objects_${column}_fkey`, () => new NotFound('object')],
    ]),
  ),
  set_objects_name: () =>
    new Conflict('name_taken_in_set', 'The set has another object with this name. Get its objects again.'),
}

const DOMAIN_ERRORS = [Conflict, Forbidden, Invalid, NotFound, PreconditionFailed, Unavailable]

interface PostgresError {
  code?: unknown
  constraint?: unknown
  deleting?: boolean
}

const FOREIGN_KEY = '23503'

/**
 * A foreign key fails when the object that a row names is gone, and when an object is deleted that a row names. Postgres
 * says which only in its message, in the language of `lc_messages`.
 */
export function noteStatement(error: unknown, statement: string): void {
  const failed = error as PostgresError
  if (failed.code === FOREIGN_KEY) failed.deleting = /^\s*delete\s/i.test(statement)
}

/**
 * Of an error that pg threw: the connection is unusable. It broke, a result may still be pending on it, or what arrived
 * was no answer to what was sent. Only what Postgres itself reports of a statement leaves the connection as it was.
 */
export function isConnectionFault(error: unknown): boolean {
  return !(error instanceof pg.DatabaseError) || /^(08|57P0|25P0[34])/.test(error.code ?? '')
}

/**
 * Passes domain errors; turns constraint violations and failures that Postgres reports into domain errors; returns
 * anything else as it is.
 */
export function toDomainError(error: unknown): unknown {
  if (DOMAIN_ERRORS.some(known => error instanceof known)) return error
  const { code, constraint, deleting } = (error ?? {}) as PostgresError
  if (typeof constraint === 'string' && CONSTRAINTS[constraint]) {
    if (code === FOREIGN_KEY && !deleting) {
      return new Conflict(
        'gone',
        'A referenced object was deleted concurrently. Get it again, then decide.',
        {
          cause: error,
        },
      )
    }
    return CONSTRAINTS[constraint]()
  }
  const unavailable =
    error instanceof pg.DatabaseError
      ? UNAVAILABLE.some(pattern => pattern.test(String(code)))
      : error instanceof Error && error.message === CLOSED
  return unavailable ? databaseUnavailable(error) : error
}

/** No disk, memory or library, a limit, a standby, corruption, a trigger of others. Other failures pass, or fail every statement. */
const SERVER_FAULT = /^(53|54|58|XX|25006|55000|42P10|23502|P0001|STANDBY|COMMIT_UNANSWERED)/

/** The cause of an error that says what the server lacks. */
export function serverFault(error: unknown): Error | undefined {
  const { cause } = (error ?? {}) as { cause?: unknown }
  const { code } = (cause ?? {}) as PostgresError
  return error instanceof Unavailable && SERVER_FAULT.test(String(code)) ? (cause as Error) : undefined
}

/** Serialization failures and deadlocks: the same transaction may succeed when it is repeated. */
export const isTransient = (error: unknown): boolean => {
  const { code } = (error ?? {}) as PostgresError
  return code === '40001' || code === '40P01'
}

/** A setting that would change the meaning of statements, and that our role may not set. `code` is for databaseFault. */
class SettingRefused extends Error {
  override readonly name = 'SettingRefused'
  readonly code = 'SETTING_REFUSED'
}

/** Of a transaction that could write, so of every one but snapshots. `code` is for databaseFault. */
class ServerIsStandby extends Error {
  override readonly name = 'ServerIsStandby'
  readonly code = 'STANDBY'
}

/** An error of BEGIN and the settings that are sent with it, as what it means there. */
export function beginFault(error: Error): unknown {
  const { code } = error as PostgresError
  if (code === '42501') return databaseUnavailable(new SettingRefused(error.message, { cause: error }))
  if (code === '0A000') return databaseUnavailable(new ServerIsStandby(error.message, { cause: error }))
  return error
}

/** Postgres did not say in time that a transaction is committed: it may be. `code` is for databaseFault. */
export class CommitUnanswered extends Error {
  override readonly name = 'CommitUnanswered'
  readonly code = 'COMMIT_UNANSWERED'

  constructor(cause: Error) {
    super('a COMMIT was not answered in time', { cause })
  }
}

/** Of a session that Postgres does not open: each means another thing in a statement. */
const REFUSES_SESSION = ['42501', '42704', '22023', '42601', '55000', '58P01']

/** Why Postgres opens no session. `code` is for databaseFault. */
class SessionRefused extends Error {
  override readonly name = 'SessionRefused'
  readonly code: string

  constructor(cause: Error, sqlstate: string) {
    super(cause.message, { cause })
    this.code = `SESSION_${sqlstate}`
  }
}

/** `error`, of an attempt to connect, as what it means there. */
export function sessionRefusal(error: Error): Error {
  const { code } = error as PostgresError
  return typeof code === 'string' && REFUSES_SESSION.includes(code) ? new SessionRefused(error, code) : error
}

export function databaseUnavailable(cause: unknown): Unavailable {
  return new Unavailable('The database does not answer. Retry.', { cause })
}
