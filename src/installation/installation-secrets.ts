import { createHmac } from 'node:crypto'
import type { NamedKey } from '../system/secret.ts'

/** The peppers and encryption keys of an installation, as check values that do not reveal them. */
export type SecretChecks = Record<string, string>

/** Compares the recorded secrets with those of this process. Recorded ids that are no longer used are dropped. */
export function reconcileSecrets(
  what: 'pepper' | 'encryption key',
  own: readonly NamedKey[],
  recorded: SecretChecks,
  needed: readonly string[],
): { faults: string[]; checks: SecretChecks } {
  const variable = what === 'pepper' ? 'MINTMARK_PEPPERS' : 'MINTMARK_ENCRYPTION_KEYS'
  const held = checksOf(own)
  const faults: string[] = []
  const checks: SecretChecks = {}
  for (const id of new Set([...Object.keys(recorded), ...needed])) {
    if (held[id] === undefined) {
      if (!needed.includes(id)) continue
      faults.push(`This database uses the ${what} "${id}", which ${variable} lacks: add it to the list.`)
    } else if (recorded[id] !== undefined && held[id] !== recorded[id]) {
      faults.push(
        `The ${what} "${id}" in ${variable} differs from the one that this database was written with: ` +
          'restore the original value, and use another id for a new one.',
      )
    }
    if (recorded[id] !== undefined) checks[id] = recorded[id]
  }
  const first = firstOf(own).id
  return { faults, checks: { ...checks, [first]: held[first] as string } }
}

/** A value that identifies a secret without revealing it. */
export function checksOf(keys: readonly NamedKey[]): SecretChecks {
  const check = (key: Buffer) =>
    createHmac('sha256', key)
      .update('mintmark installation check')
      .digest()
      .subarray(0, 16)
      .toString('base64url')
  return Object.fromEntries(keys.map(({ id, key }) => [id, check(key.reveal())]))
}

/** The current key: the first. */
export function firstOf(keys: readonly NamedKey[]): NamedKey {
  const [first] = keys
  if (!first) throw new Error('a list of peppers or encryption keys is empty')
  return first
}
