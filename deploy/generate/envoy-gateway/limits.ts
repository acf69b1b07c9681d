import { ALLOWANCES } from '../../../src/tokens/limits-claim.ts'
import { limits, TOKEN_METADATA } from '../envoy-parts/limits.ts'
import { ANY_LIMIT_REACHED } from '../messages.ts'
import { render } from '../template.ts'

/** What the files have for the limits of the token; empty without them. */
export interface LimitParts {
  /** Scripts of the EnvoyExtensionPolicy. */
  lua: string[]
  /** The BackendTrafficPolicies of routes merge into the one of the Gateway. */
  merged: string[]
  limitReply: string[]
  /** The BackendTrafficPolicy of the Gateway. */
  parent: string[]
}

export const WITHOUT_LIMITS: LimitParts = { lua: [], merged: [], limitReply: [], parent: [] }

const headers = limits.map(each => ({
  ...each,
  // The strip list has this prefix.
  header: `x-gateway-limit-${each.bucket}-${each.limit.replace('_', '-')}`,
}))

/** Set by the script, read by the rules, and not for the engine. */
export const LIMIT_HEADERS: readonly string[] = headers.map(({ header }) => header)

const COST =
  'cost: { request: { from: Number, number: 0 }, response: { from: Metadata, metadata: { namespace: mintmark.usage, key: tokens } } }'

const rule = ({ header, bucket, limit, isOfTokens }: (typeof headers)[number]): string =>
  render('envoy-gateway/limits/rate-limit.yaml.template', {
    ...{ header, bucket, limit, unit: unitOf(limit), cost: isOfTokens ? [COST] : [] },
  })

const unitOf = (limit: string): string =>
  Object.entries(ALLOWANCES).some(([name, { unit }]) => name === limit && unit === 'DAY') ? 'Day' : 'Minute'

/** `payload`: the name of the verified token, which is that of the provider. */
export const limitParts = (payload: string): LimitParts => ({
  lua: [
    render('envoy-gateway/limits/lua.yaml.template', {
      ...{ namespace: TOKEN_METADATA, payload, reported: false, limits: headers },
    }),
  ],
  merged: ['mergeType: StrategicMerge'],
  limitReply: [render('envoy-gateway/limits/reply.yaml.template', { reached: ANY_LIMIT_REACHED })],
  parent: [render('envoy-gateway/limits/parent.yaml.template', { rules: headers.map(rule) })],
})
