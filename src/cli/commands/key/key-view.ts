import { KEY_SETTINGS } from '../../../api-keys/key-settings.ts'
import { day, moment, part, type View } from '../../output.ts'
import { nullTexts } from '../../setting-options.ts'

export interface Key {
  id: string
  tenant: string
  name: string
  state: string
  expires_at: string | null
  contact: string | null
  created_by: string | null
  secrets: KeySecret[]
}

interface KeySecret {
  id: string
  state: string
  created_by: string | null
  created_at: string
  ends_at: string | null
  last_used_at: string | null
}

/** A key in the only response with its secret. */
export interface IssuedKey extends Key {
  secret: string
  secret_id: string
}

export const KEY_VIEW: View<Key> = {
  plural: 'keys',
  id: key => key.id,
  columns: [
    { title: 'ID', of: key => key.id },
    { title: 'TENANT', of: key => key.tenant, cut: true },
    { title: 'NAME', of: key => key.name, cut: true },
    { title: 'STATE', of: key => key.state, state: true },
    { title: 'EXPIRES', of: key => day(key.expires_at, 'never') },
    { title: 'LAST USED', of: key => day(lastUse(key)) },
    { title: 'CONTACT', of: key => key.contact ?? '-', cut: true, optional: true },
    { title: 'CREATED BY', of: key => key.created_by ?? '-', optional: true },
  ],
  nulls: nullTexts(KEY_SETTINGS),
  parts: [
    part('secrets', key => key.secrets, [
      { title: 'ID', of: secret => secret.id },
      { title: 'STATE', of: secret => secret.state, state: true },
      { title: 'CREATED', of: secret => day(secret.created_at) },
      { title: 'ENDS', of: secret => (secret.ends_at === null ? 'with the key' : moment(secret.ends_at)) },
      { title: 'LAST USED', of: secret => day(secret.last_used_at) },
      { title: 'CREATED BY', of: secret => secret.created_by ?? '-', optional: true },
    ]),
  ],
}

/** The texts shown with a new secret. */
export function secretTexts(key: IssuedKey, done: string): { note: string; cure: string } {
  const until = key.expires_at === null ? 'It does not expire.' : `It expires ${moment(key.expires_at)}.`
  return {
    note: `${done} ${until} The secret is on standard output, and cannot be shown again.`,
    cure: `Revoke it: mintmark key revoke-secret ${key.id} ${key.secret_id}`,
  }
}

function lastUse(key: Key): string | null {
  const uses = key.secrets.flatMap(secret => secret.last_used_at ?? [])
  return uses.sort().at(-1) ?? null
}
