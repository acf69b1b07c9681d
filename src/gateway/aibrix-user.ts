/**
 * AIBrix limits the user named in the header `user`, which our gateways set to the tenant. It reads its users from
 * Redis, `aibrix-users/<name>` → `{"name","rpm","tpm"}` (vllm-project/aibrix, pkg/utils/users.go), and answers 500 to
 * unknown ones.
 */
export interface AibrixUser {
  name: string
  /** Requests and tokens per minute; 0 = AIBrix's default. */
  rpm: number
  tpm: number
}

interface MinuteLimits {
  requests_per_minute?: number | null
  tokens_per_minute?: number | null
}

interface Tenant {
  id: string
  labels: Readonly<Record<string, string>>
  /** Its own. */
  limits: MinuteLimits
}

export const RPM_LABEL = 'aibrix-rpm'
export const TPM_LABEL = 'aibrix-tpm'

/**
 * The limits come from the tenant's labels, else from its limits, else from those of its tier, else from `defaults`. @throws {RangeError} for a label that is not a limit.
 */
export function aibrixUser(
  { id, labels, limits }: Tenant,
  ofTier: MinuteLimits,
  defaults: { rpm: number; tpm: number },
): AibrixUser {
  const limit = (label: string, otherwise: number) => {
    const value = labels[label]
    if (value === undefined) return otherwise
    if (/^\d{1,15}$/.test(value)) return Number(value)
    throw new RangeError(
      `tenant ${id}: the label ${label} must be a whole number, 0 or more, got ${JSON.stringify(value)}`,
    )
  }
  const rpm = limits.requests_per_minute ?? ofTier.requests_per_minute ?? defaults.rpm
  const tpm = limits.tokens_per_minute ?? ofTier.tokens_per_minute ?? defaults.tpm
  return { name: id, rpm: limit(RPM_LABEL, rpm), tpm: limit(TPM_LABEL, tpm) }
}

/** A line for the standard input of redis-cli that creates or replaces the user. */
export function redisCommand(user: AibrixUser): string {
  const { name, rpm, tpm } = user
  return `SET ${quoted(`aibrix-users/${name}`)} ${quoted(JSON.stringify({ name, rpm, tpm }))}`
}

/** Quoted as redis-cli reads arguments: in double quotes, with quotes, backslashes and control characters as `\xHH`. */
function quoted(text: string): string {
  const bytes = [...Buffer.from(text)].map(byte => {
    const character = String.fromCharCode(byte)
    if (character === '"' || character === '\\') return `\\${character}`
    return byte >= 0x20 && byte < 0x7f ? character : `\\x${byte.toString(16).padStart(2, '0')}`
  })
  return `"${bytes.join('')}"`
}
