import { Conflict, Forbidden, Invalid, NotFound, Unavailable } from '../errors.ts'

/** SQLSTATEs that say the server, not the statement, is the trouble. Appendix A of the PostgreSQL manual. */
const UNAVAILABLE = [
  /^08/, // connection exceptions
  /^53/, // out of connections, memory, disk
  /^57P0[1-5]$/, // shutting down, starting up, session ended
  /^25006$/, // a standby: read only
  /^25P0[34]$/, // transaction ended by the idle or transaction timeout
  /^40/, // deadlock, serialization
  /^55P03$/, // lock not available in time
  /^57014$/, // statement timeout
  /^XX00/, // internal error, corruption
  /^58/, // I/O error
  /^28/, // our own role or password is refused
  /^3D000$/, // our database does not exist
]

const NETWORK = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
])

const LOST = /timeout|terminated|ended|not queryable|closed|destroyed|pool after calling end|aborted/i

/** What a constraint's refusal means to the caller. Constraints that the domain checks first are here for the race. */
const CONSTRAINTS: Record<string, () => Error> = {
  tiers_pkey: () => new Conflict('tier_exists', 'A tier of this name already exists.'),
  models_pkey: () => new Conflict('name_taken', 'A model or an adapter of this name already exists.'),
  models_base_model: () =>
    new Conflict('model_in_use', 'An adapter is based on this model, or the base model is not registered.'),
  tenants_pkey: () => new Conflict('tenant_id_taken', 'A tenant of this id already exists.'),
  deleted_tenants_pkey: () =>
    new Conflict('tenant_id_taken', 'A tenant of this id existed, and ids are not given out again.'),
  tenant_tiers_tier_fkey: () =>
    new Conflict('tier_in_use', 'A tenant may use this tier, or the tier does not exist.'),
  api_keys_tier_fkey: () => new Conflict('tier_in_use', 'A key uses this tier, or the tier does not exist.'),
  tenant_grants_model_fkey: () =>
    new Conflict('model_in_use', 'A tenant may use this model or adapter, or it is not registered.'),
  key_grants_model_fkey: () =>
    new Conflict('model_in_use', 'A key may use this model or adapter, or it is not registered.'),
  api_keys_tenant_id_fkey: () => new NotFound('tenant'),
}

interface PostgresError {
  code?: unknown
  constraint?: unknown
}

/** True when the connection itself is of no further use: it broke, or an answer may still be under way on it. */
export function isConnectionFault(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code } = error as PostgresError
  if (typeof code !== 'string') return LOST.test(error.message)
  return NETWORK.has(code) || /^(08|57P0|25P0[34])/.test(code)
}

/** Domain errors pass; refusals by a constraint and faults of the database become domain errors; a bug stays what it is. */
export function toDomainError(error: unknown): unknown {
  if ([Conflict, Forbidden, Invalid, NotFound, Unavailable].some(known => error instanceof known))
    return error
  const { code, constraint } = (error ?? {}) as PostgresError
  if (typeof constraint === 'string' && CONSTRAINTS[constraint]) return CONSTRAINTS[constraint]()
  const sqlState = typeof code === 'string' && code.length === 5 ? code : undefined
  const unavailable = sqlState
    ? UNAVAILABLE.some(pattern => pattern.test(sqlState))
    : isConnectionFault(error)
  return unavailable ? new Unavailable('The database does not answer. Try again.', { cause: error }) : error
}
