import { VERIFIERS } from '../../signing-keys/verifiers.ts'
import type { AdminClient } from '../admin-client.ts'
import { type Finding, fault, note, ok } from './finding.ts'
import { missed } from './jwks-checks.ts'

interface SigningKey {
  kid: string
  alg: string
  state: string
  published_at: string
  activates_at: string | null
  held: boolean
}

/**
 * The current age of keys, and their age when they start signing, compared with the caches of known verifiers. Read
 * from the admin API, because the JWKS does not contain it.
 */
export async function ageFindings(admin: AdminClient): Promise<Finding[]> {
  const { data } = await admin.get<{ data: SigningKey[] }>('/signing-keys')
  return data.flatMap(({ kid, alg, state, published_at, activates_at, held }) => {
    const check = `${alg} ${state}`
    if (held) return [note(check, `${kid} is held: it is not replaced until it is released`)]
    if (state !== 'standby') return []
    if (activates_at === null)
      return [
        fault(
          check,
          `${kid} is not scheduled: the active key is held, or rotation does not run`,
          'Release it: mintmark signing-key release <kid>. Otherwise look for errors of the rotation in the log.',
        ),
      ]
    const ahead = Math.round((Date.parse(activates_at) - Date.parse(published_at)) / 1000)
    const late = missed(ahead)
    if (late !== '')
      return [
        fault(
          check,
          `${kid} signs ${ahead} s after it was published: too early for ${late}`,
          'Lengthen it: mintmark installation update --publish-lead-seconds 7200.',
        ),
      ]
    return [
      ok(
        check,
        `${kid} signs ${ahead} s after it was published: known to ${VERIFIERS.map(({ name }) => name).join(', ')}`,
      ),
    ]
  })
}
