/** What to do about a configuration that Postgres rejects. Keys are SQLSTATEs and Node's codes. */
const CURES: Record<string, string> = {
  '28P01': 'check the user and the password in the database URL',
  '28000': 'allow the user in the database URL to connect from this host (pg_hba.conf)',
  '3D000': 'create the database that the URL names, then run "npm run migrate"',
  '42501': 'the role lacks rights: GRANT mintmark_app TO it (db/README.md)',
  ECONNREFUSED: 'no server listens at the address in the database URL',
  ENOTFOUND: 'the host name in the database URL is unknown',
}

/**
 * Why the database cannot be used, for an operator: its own message, and what to do about it. `undefined` when the
 * error did not come from the database.
 */
export function databaseFault(error: unknown): string | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code } = cause as Error & { code?: unknown }
    if (typeof code !== 'string') continue
    const said = cause.message || code
    const cure = CURES[code]
    return `The database cannot be used: ${said}${cure ? ` (${cure})` : ''}.`
  }
  return undefined
}
