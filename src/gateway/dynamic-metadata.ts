import { delimitedField, doubleField } from '../http/protobuf.ts'
import type { AccessTokenClaims } from '../tokens/claims.ts'

/** A value of `google.protobuf.Struct`, as far as it is written here. */
type StructValue = string | number | Struct
interface Struct {
  readonly [name: string]: StructValue
}

/**
 * What rate limits of Envoy read after the check, from the namespace `envoy.filters.http.ext_authz`. `tenant` and `sub`
 * name the buckets. `limits` is the claim. Envoy Gateway's `limit.fromMetadata` has one key and no path, so each limit
 * also has a name: `tenant_requests`, `key_tokens_daily` and so on. `total_limit` is Envoy AI Gateway's name for LLM
 * tokens in a minute, here of the tenant.
 */
export function dynamicMetadata({ tenant, sub, limits = {} }: AccessTokenClaims): Struct {
  const buckets = Object.entries(limits) as [string, Struct][]
  const flat = buckets.flatMap(([bucket, allowances]) =>
    Object.entries(allowances).map(([name, allowance]) => [`${bucket}_${name}`, allowance]),
  )
  const total = limits.tenant?.tokens
  return {
    tenant,
    sub,
    ...(buckets.length > 0 && { limits: Object.fromEntries(buckets) }),
    ...Object.fromEntries(flat),
    ...(total && { total_limit: { ...total } }),
  }
}

/** The message `google.protobuf.Struct`. */
export const structMessage = (struct: Struct): Buffer =>
  Buffer.concat(
    Object.entries(struct).map(([name, value]) =>
      delimitedField(1, Buffer.concat([delimitedField(1, name), delimitedField(2, valueMessage(value))])),
    ),
  )

function valueMessage(value: StructValue): Buffer {
  if (typeof value === 'number') return doubleField(2, value)
  return typeof value === 'string' ? delimitedField(3, value) : delimitedField(5, structMessage(value))
}
