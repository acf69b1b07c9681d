import { ALLOWANCES } from '../../../src/tokens/limits-claim.ts'
import { render } from '../template.ts'

/** Where jwt_authn files the verified token. An API key is a token by then: limits need no other source. */
export const TOKEN_METADATA = 'envoy.filters.http.jwt_authn'

/** The buckets of the claim, and the claim that names each. */
const BUCKETS = [
  { bucket: 'tenant', name: 'tenant' },
  { bucket: 'key', name: 'sub' },
] as const

const FREE = ['hits_addend: { number: 0 }']
const CHARGE = [
  'apply_on_stream_done: true',
  'hits_addend: { format: "%DYNAMIC_METADATA(mintmark.usage:tokens)%" }',
]

/**
 * The eight limits. Those of a day first: Envoy reports the first of several that are used up, and its reset is when a retry can
 * succeed.
 */
export const limits = Object.entries(ALLOWANCES)
  .toSorted(([, one], [, other]) => one.unit.localeCompare(other.unit))
  .flatMap(([limit, { limit: field, unit }]) =>
    BUCKETS.map(bucket => ({ ...bucket, limit, unit, isOfTokens: field.startsWith('tokens') })),
  )

const rateLimit = ({ bucket, name, limit }: (typeof limits)[number], cost: readonly string[]): string =>
  render('envoy-parts/rate-limit.yaml.template', { namespace: TOKEN_METADATA, bucket, name, limit, cost })

/**
 * The filter that counts the LLM tokens of answers: of requests with limits of them, or of all, because they are `reported`.
 */
export const usageFilter = (reported: boolean): string =>
  render('envoy-parts/usage.yaml.template', {
    namespace: TOKEN_METADATA,
    payload: 'payload',
    reported,
    // At Istio the files of limits and of reports may both be applied.
    name: reported ? 'mintmark.reported-usage' : 'mintmark.usage',
  })

const rateLimits = (list: readonly string[]): string =>
  render('envoy-parts/rate-limits.yaml.template', { rateLimits: list })

/**
 * Limits of requests for any Envoy from 1.36 on: the filter, and the limits, which older ones than 1.39 accept only in a route or a virtual
 * host. There they ignore what a request costs, so LLM tokens have no limit.
 */
export function requestLimits(rateLimitCluster: string): { filter: string; ofHost: string } {
  const ofRequests = limits.filter(({ isOfTokens }) => !isOfTokens)
  return {
    filter: render('envoy-parts/limits.yaml.template', {
      about: [
        '# Its limits are those of the virtual host. A tenant or key without a limit has none, and causes no call.',
      ],
      rateLimitCluster,
      rateLimits: [],
    }),
    ofHost: rateLimits(ofRequests.map(each => rateLimit(each, []))),
  }
}

/**
 * The filters that enforce the limits of the token with envoyproxy/ratelimit, in their order, from Envoy 1.39 on.
 * `rateLimitCluster`: the cluster of that service. `reported`: all requests are also reported.
 */
export function limitFilters(rateLimitCluster: string, reported = false): string[] {
  const checked = render('envoy-parts/limits.yaml.template', {
    about: [
      '# A tenant or key without a limit has none, and causes no call. A request passes as long as no more LLM tokens are used than the\n# limit; what it costs is known at its end.',
    ],
    rateLimitCluster,
    rateLimits: [rateLimits(limits.map(each => rateLimit(each, each.isOfTokens ? FREE : [])))],
  })
  const charges = limits
    .filter(({ isOfTokens }) => isOfTokens)
    .map(each =>
      render('envoy-parts/charge.yaml.template', {
        bucket: each.bucket,
        limit: each.limit,
        rateLimitCluster,
        rateLimit: rateLimit(each, CHARGE),
      }),
    )
  return [usageFilter(reported), checked, ...charges]
}
