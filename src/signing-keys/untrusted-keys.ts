import type { RotationState } from './key-change.ts'

/** The stored keys cannot be trusted, and this process must not make others instead. The message names the cure. */
export class UntrustedKeys extends Error {
  override readonly name = 'UntrustedKeys'
}

/**
 * Rotation ignores rows that are not genuine. It must not when that would replace keys that verifiers know by a new one:
 * on a replica that lacks the key that they were sealed with, and at a start where none is genuine (after an upgrade, or
 * on a copy of the database).
 *
 * @throws {UntrustedKeys}
 */
export function refuseUntrusted(
  { keys, rejected, crowded }: RotationState,
  { starting }: { starting: boolean },
): void {
  if (rejected.some(({ fault }) => fault === 'lacking_key'))
    throw new UntrustedKeys(
      'Signing keys are sealed with an encryption key or pepper that this replica lacks: add the newest to MINTMARK_ENCRYPTION_KEYS and MINTMARK_PEPPERS. Until then other replicas rotate.',
    )
  if (starting && crowded)
    throw new UntrustedKeys(
      'The database has so many rows of published signing keys that they cannot all be verified: most were written without the keys of Mintmark. Delete those as the owner of the tables: see docs/guides/troubleshooting.md.',
    )
  // No verifier should know a key that was revoked: another one takes its place.
  const untrusted = rejected.filter(({ fault }) => fault !== 'revoked')
  if (!starting || untrusted.length === 0 || keys.some(({ state }) => state !== 'retiring')) return
  const kids = untrusted.map(({ kid, fault }) => `${kid.slice(0, 43)} (${fault})`).slice(0, 10)
  const unsealed = untrusted.some(({ fault }) => fault === 'unsealed')
  const cure = unsealed
    ? 'After an upgrade from 0.2 run "mintmark seal" once.'
    : 'The rows were changed without the keys of Mintmark: see docs/guides/troubleshooting.md.'
  throw new UntrustedKeys(`No signing key in the database has a valid seal: ${kids.join(', ')}. ${cure}`)
}
