import { limits, TOKEN_METADATA } from '../envoy-parts/limits.ts'
import { LIMITS_REACHED } from '../messages.ts'
import { render } from '../template.ts'

/** What the files have for the limits of the token; empty without them. */
export interface LimitParts {
  /** Scripts of the EnvoyExtensionPolicy. */
  lua: string[]
  /** The BackendTrafficPolicies of routes merge into the one of the Gateway. */
  merged: string[]
  /** The BackendTrafficPolicy of the Gateway. */
  parent: string[]
}

export const WITHOUT_LIMITS: LimitParts = { lua: [], merged: [], parent: [] }

const headers = limits.map(each => ({
  ...each,
  // The strip list has this prefix.
  header: `x-gateway-limit-${each.bucket}-${each.limit.replace('_', '-')}`,
}))

const COST =
  'cost: { request: { from: Number, number: 0 }, response: { from: Metadata, metadata: { namespace: mintmark.usage, key: tokens } } }'

const rule = ({ header, bucket, limit, unit, isOfTokens }: (typeof headers)[number]): string =>
  render('envoy-gateway/limits/rate-limit.yaml.template', {
    ...{ header, bucket, limit, unit: unit === 'DAY' ? 'Day' : 'Minute', cost: isOfTokens ? [COST] : [] },
  })

/** `payload`: the name of the verified token, which is that of the provider. */
export const limitParts = (payload: string): LimitParts => ({
  lua: [
    render('envoy-gateway/limits/lua.yaml.template', {
      ...{ namespace: TOKEN_METADATA, payload, reported: false, limits: headers },
      ...{ minuteReached: LIMITS_REACHED.minute, dayReached: LIMITS_REACHED.day },
    }),
  ],
  merged: ['mergeType: StrategicMerge'],
  parent: [render('envoy-gateway/limits/parent.yaml.template', { rules: headers.map(rule) })],
})
