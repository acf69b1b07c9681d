import { CONTRACT_NUMBER } from '../../../src/gateway/headers.ts'
import { CLAIM_INPUTS, FILTER_NAME } from '../../../src/xds/deny-filter.ts'
import { NODE_METADATA } from '../../../src/xds/discovery-messages.ts'
import { render, type Values } from '../template.ts'

/** What an Envoy without a list does: accepts every valid token, or rejects all requests. */
export type WithoutList = 'open' | 'closed'

const XDS_TOKEN = 'change-me-change-me-change-me-change-me'
const HEADERS = Object.values(CLAIM_INPUTS)
const DENY_ALL =
  'rules: { action: DENY, policies: { without-list: { permissions: [{ any: true }], principals: [{ any: true }] } } }'

/**
 * The parts of Envoy's file for the list of revoked tokens. Undefined: the file has none of it. `hasLimits`: the file
 * enforces limits as well.
 */
export function revocationParts(
  withoutList: WithoutList | undefined,
  hasLimits: boolean,
): {
  values: Values
  clusters: string[]
} {
  if (withoutList === undefined)
    return {
      values: {
        revocationClaims: [],
        revocationFilter: [],
        revocationHeaders: [],
        revocationNode: [],
        revocationRemoved: [],
        revocationReplies: [],
      },
      clusters: [],
    }
  const isOpen = withoutList === 'open'
  return {
    values: {
      revocationClaims: Object.entries(CLAIM_INPUTS).map(([claim, header]) => ({ claim, header })),
      revocationFilter: [
        render('envoy/revocation-filter.yaml.template', {
          FILTER_NAME,
          XDS_TOKEN,
          whatHolds: isOpen ? 'every valid token is accepted.' : 'every request is 503.',
          defaultRules: isOpen ? [] : [DENY_ALL],
        }),
        '',
      ],
      revocationHeaders: HEADERS,
      revocationNode: [
        render('envoy/revocation-node.yaml.template', {
          ...NODE_METADATA,
          CONTRACT_NUMBER,
          enforced: hasLimits ? 'revocations limits' : 'revocations',
        }),
        '',
      ],
      revocationRemoved: [
        `# Only for the filter ${FILTER_NAME}.\nrequest_headers_to_remove: [${HEADERS.join(', ')}]`,
      ],
      revocationReplies: [render('envoy/revocation-replies.yaml', {})],
    },
    clusters: [render('envoy/revocation-cluster.yaml.template', { host: 'mintmark', port: 8086 })],
  }
}
