import type { AccessTokenClaims } from '../tokens/claims.ts'
import { CREDENTIAL_HEADERS } from './check-request.ts'
import { CLAIM_HEADERS } from './headers.ts'

/** Every one of them, always: Caddy once kept the client's where the answer lacked one (GHSA-7r4p-vjf4-gxv4). */
export function claimHeaders(claims: AccessTokenClaims): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const { claim, header } of CLAIM_HEADERS) headers[header] = claims[claim]
  return headers
}

/** Where a key may have come in, besides the header that the token takes the place of. */
export const REMOVED_HEADERS = CREDENTIAL_HEADERS.filter(name => name !== 'authorization')

/** The same, for what tells `_` from `-` while others do not. */
export const KEY_HEADER_SPELLINGS: readonly string[] = REMOVED_HEADERS.flatMap(name =>
  name
    .split('-')
    .reduce<string[]>(
      (begun, part) =>
        begun.length === 0 ? [part] : begun.flatMap(each => [`${each}-${part}`, `${each}_${part}`]),
      [],
    ),
)
