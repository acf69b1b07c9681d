import type { UntrustedRows } from '../installation/untrusted-rows.ts'
import type { Alarm } from '../signing-keys/alarms.ts'

const MESSAGES = {
  signing_key: 'a signing key in the database has no valid seal: it is neither published nor used',
  identity_provider: 'an identity provider in the database has no valid seal: its assertions are refused',
  key_credential: 'a credential of a key in the database has no valid seal: it is not accepted',
  imported_secret: 'an imported secret in the database has no valid seal: it is not accepted',
}

const SUPERSEDED =
  'an older row of a signing key was put back into the database: it is neither published nor used'

/** One alarm for each of the first rows that are not genuine. */
export const trustAlarms = ({ listed, counts }: UntrustedRows): Alarm[] =>
  listed.map(({ kind, id, fault }) => ({
    id: `untrusted-${kind}-${id}`,
    message: fault === 'superseded' ? SUPERSEDED : MESSAGES[kind],
    fields: { kind, row: id, fault, rows: counts[kind] },
  }))
