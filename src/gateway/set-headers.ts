import type { AccessTokenClaims } from '../tokens/claims.ts'
import { CREDENTIAL_HEADERS } from './check-request.ts'
import { CLAIM_HEADERS } from './headers.ts'

/** Always all of them: Caddy kept the client's header where the response lacked one (GHSA-7r4p-vjf4-gxv4). */
export function claimHeaders(claims: AccessTokenClaims): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const { claim, header } of CLAIM_HEADERS) headers[header] = claims[claim]
  return headers
}

/** Headers that may carry a key, except the one that the token replaces. */
export const REMOVED_HEADERS = CREDENTIAL_HEADERS.filter(name => name !== 'authorization')

/** What the engine does not get in addition to the token: it would answer browsers by rules of its own. */
export const NOT_FOR_ENGINE: readonly string[] = [...REMOVED_HEADERS, 'origin']

/** The same names in all spellings with `_` and `-`, for proxies that distinguish them. */
export const KEY_HEADER_SPELLINGS: readonly string[] = REMOVED_HEADERS.flatMap(name =>
  name
    .split('-')
    .reduce<string[]>(
      (begun, part) =>
        begun.length === 0 ? [part] : begun.flatMap(each => [`${each}-${part}`, `${each}_${part}`]),
      [],
    ),
)
