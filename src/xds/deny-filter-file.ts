import { DENIED_CLAIMS, type DeniedClaim, type DeniedValue } from '../token-revocations/token-revocation.ts'
import { ACTION, CLAIM_INPUTS, FILTER_NAME, HEADER_INPUT, RBAC } from './deny-filter.ts'
import { EXTENSION_CONFIG } from './discovery-messages.ts'

type Entry = Pick<DeniedValue, 'claim' | 'value'>

/** The same filter as JSON, for an Envoy that reads it from a file: a `DiscoveryResponse` with one resource. */
export function denyFilterFile(version: string, entries: readonly Entry[]): object {
  const values = Map.groupBy(entries, ({ claim }) => claim)
  const claims = DENIED_CLAIMS.filter(claim => values.has(claim))
  const matcher = claims.length === 0 ? {} : { matcher: matcherOf(claims, values) }
  const typed_config = { '@type': RBAC, ...matcher }
  return {
    version_info: version,
    type_url: EXTENSION_CONFIG,
    resources: [{ '@type': EXTENSION_CONFIG, name: FILTER_NAME, typed_config }],
  }
}

const action = (name: string, what: 'ALLOW' | 'DENY') => ({
  action: { name: 'action', typed_config: { '@type': ACTION, name, action: what } },
})

function matcherOf(
  [claim, ...others]: readonly DeniedClaim[],
  values: ReadonlyMap<DeniedClaim, readonly Entry[]>,
): object {
  if (claim === undefined) throw new Error('a matcher needs a claim')
  const denied = (values.get(claim) ?? []).map(({ value }) => [value, action('revoked', 'DENY')])
  return {
    matcher_tree: {
      input: {
        name: 'header',
        typed_config: { '@type': HEADER_INPUT, header_name: CLAIM_INPUTS[claim] },
      },
      exact_match_map: { map: Object.fromEntries(denied) },
    },
    on_no_match: others.length === 0 ? action('allow', 'ALLOW') : { matcher: matcherOf(others, values) },
  }
}
