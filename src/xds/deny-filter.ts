import { delimitedField, numberField } from '../http/protobuf.ts'
import { DENIED_CLAIMS, type DeniedClaim, type DeniedValue } from '../token-revocations/token-revocation.ts'

/**
 * The filter that rejects denied tokens, in Envoy's messages. A map of exact values for each claim, not a list of
 * principals: the time of a request does not depend on the number of entries. It denies, and allows everything else: what
 * a request may do is decided by the filters of the gateway's own file.
 */

/** The name of the filter in the gateway's file. */
export const FILTER_NAME = 'mintmark.revocations'
export const RBAC = 'type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC'
export const ACTION = 'type.googleapis.com/envoy.config.rbac.v3.Action'
export const HEADER_INPUT = 'type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput'

/** The headers that the gateway sets from the claims of the verified token, and removes before the engine. */
export const CLAIM_INPUTS = {
  jti: 'x-mintmark-jti',
  key_epoch: 'x-mintmark-key-epoch',
  tenant_epoch: 'x-mintmark-tenant-epoch',
} as const satisfies Record<DeniedClaim, string>

const any = (typeUrl: string, value: Buffer) =>
  Buffer.concat([delimitedField(1, typeUrl), delimitedField(2, value)])
/** `TypedExtensionConfig`, of Envoy and of xDS. */
const extension = (name: string, typeUrl: string, value: Buffer) =>
  Buffer.concat([delimitedField(1, name), delimitedField(2, any(typeUrl, value))])

/** `xds.type.matcher.v3.Matcher.OnMatch` with an action of RBAC. */
const onMatch = (name: string, action: 0 | 1) =>
  delimitedField(
    2,
    extension('action', ACTION, Buffer.concat([delimitedField(1, name), numberField(2, action)])),
  )
const ALLOW = onMatch('allow', 0)
const DENY = onMatch('revoked', 1)

/** `envoy.config.core.v3.TypedExtensionConfig` with the filter for these entries. */
export function denyFilter(entries: readonly DeniedValue[]): Buffer {
  const values = Map.groupBy(entries, ({ claim }) => claim)
  const claims = DENIED_CLAIMS.filter(claim => values.has(claim))
  // A map must have entries, so an empty list is a filter without rules, which allows everything.
  const rbac = claims.length === 0 ? Buffer.alloc(0) : delimitedField(4, matcher(claims, values))
  return extension(FILTER_NAME, RBAC, rbac)
}

/** `xds.type.matcher.v3.Matcher`: a request that does not match the first claim is compared with the next one. */
function matcher(
  [claim, ...others]: readonly DeniedClaim[],
  values: ReadonlyMap<DeniedClaim, readonly DeniedValue[]>,
): Buffer {
  if (claim === undefined) throw new Error('a matcher needs a claim')
  const input = extension('header', HEADER_INPUT, delimitedField(1, CLAIM_INPUTS[claim]))
  const map = (values.get(claim) ?? []).map(({ value }) =>
    delimitedField(1, Buffer.concat([delimitedField(1, value), delimitedField(2, DENY)])),
  )
  const tree = Buffer.concat([delimitedField(1, input), delimitedField(2, Buffer.concat(map))])
  const otherwise = others.length === 0 ? ALLOW : delimitedField(1, matcher(others, values))
  return Buffer.concat([delimitedField(2, tree), delimitedField(3, otherwise)])
}
