import { CliError, EXIT } from '../exit-codes.ts'
import { type Finding, fault, note, ok } from './finding.ts'
import type { Jwks } from './jwks-checks.ts'

type Json = Record<string, unknown>

/**
 * The keys that gateways have for tokens of the issuer, from Envoy's `/config_dump`. @throws {CliError} for another file
 */
export function envoyFindings(
  { name, text }: { name: string; text: string },
  issuer: string,
  published: Jwks | undefined,
): Finding[] {
  let dump: unknown
  try {
    dump = JSON.parse(text)
  } catch {
    throw new CliError(
      EXIT.usage,
      `${name} is not JSON: save what /config_dump of Envoy's admin port answers.`,
    )
  }
  const sets = new Set(
    providersOf(dump)
      .filter(provider => provider.issuer === issuer)
      .map(inlineOf),
  )
  if (sets.size === 0)
    return [
      fault(
        'gateway keys',
        `${name} has no provider of jwt_authn with the issuer "${issuer}"`,
        'Set exactly this issuer in the file of the gateway.',
      ),
    ]
  return [...sets].map(set =>
    set === undefined
      ? note('gateway keys', `${name}: Envoy fetches the JWKS itself`)
      : keyFinding(name, set, published),
  )
}

/** Compares the keys that something has with the published ones. */
export function keyFinding(where: string, text: string, published: Jwks | undefined): Finding {
  const keys = keysIn(text)
  if (keys.length === 0)
    return fault('gateway keys', `${where} has no keys: every token is rejected`, 'Run mintmark sync.')
  // Mintmark's keys all have a kid; the key that istiod sets after a failed fetch has none.
  if (keys.some(({ kid }) => kid === undefined))
    return fault(
      'gateway keys',
      `${where} has a placeholder key of istiod, which could not fetch the JWKS: every token is rejected`,
      'Run mintmark sync (docs/guides/istio.md).',
    )
  const kids = new Set(keys.map(({ kid }) => kid))
  const missing = (published?.keys ?? []).filter(({ kid }) => !kids.has(kid)).map(({ kid }) => String(kid))
  if (missing.length > 0)
    return fault(
      'gateway keys',
      `${where} lacks published keys: ${missing.join(', ')}, and rejects tokens that they sign`,
      'Let the gateway fetch the JWKS again, or look at mintmark sync.',
    )
  return ok('gateway keys', `${where} has ${published ? 'all published keys' : `${keys.length} keys`}`)
}

function keysIn(text: string): Json[] {
  try {
    const { keys } = JSON.parse(text) as { keys?: unknown }
    return Array.isArray(keys) ? (keys as Json[]) : []
  } catch {
    return []
  }
}

const inlineOf = ({ local_jwks: local }: Json): string | undefined => {
  const { inline_string: text } = (local ?? {}) as Json
  return typeof text === 'string' ? text : undefined
}

/** Every object below this one that has an issuer and keys: providers of jwt_authn, wherever the dump has them. */
function providersOf(value: unknown): Json[] {
  if (typeof value !== 'object' || value === null) return []
  const own = value as Json
  const below = Object.values(own).flatMap(providersOf)
  return 'issuer' in own && ('local_jwks' in own || 'remote_jwks' in own) ? [own, ...below] : below
}
