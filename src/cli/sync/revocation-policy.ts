import { CliError, EXIT } from '../exit-codes.ts'
import { type Json, nameFault, objectsOf } from './authentication-files.ts'
import type { DeniedList } from './denied-list.ts'
import type { AppliedObject } from './kubernetes-api.ts'

/** An AuthorizationPolicy of a file, whose rules become the list of revoked tokens. */
export interface PolicyTarget {
  apiVersion: string
  namespace: string
  name: string
  /** As in the file, without rules. */
  spec: Json
}

export const policyName = ({ namespace, name }: Pick<PolicyTarget, 'namespace' | 'name'>) =>
  `AuthorizationPolicy ${namespace}/${name}`

/** Envoy compares a request with each entry, about 0.2 µs each, and an object in Kubernetes has at most 1.5 MB. */
export const MOST_ENTRIES = 5_000
/** The version of the list that the object has: an older one is not written over it. */
export const VERSION = 'mintmark/revocations-version'

/** In the order in which those of a tenant are kept where the list is too long: one entry ends the tokens of many. */
const CLAIMS = ['tenant_epoch', 'key_epoch', 'jti']

/** The AuthorizationPolicies with the action DENY in this file. @throws {CliError} */
export async function readPolicies(file: string): Promise<PolicyTarget[]> {
  const policies = (await objectsOf(file)).filter(({ kind }) => kind === 'AuthorizationPolicy')
  if (policies.length === 0) throw usage(`${file} has no AuthorizationPolicy.`)
  return policies.map(object => {
    const { apiVersion, metadata, spec } = object
    const { name, namespace } = (metadata ?? {}) as Json
    const fault = nameFault(object)
    if (fault) throw usage(`${file}: ${fault}`)
    const { rules: _, ...own } = (spec ?? {}) as Json
    if (own.action !== 'DENY')
      throw usage(`${file}: ${policyName({ namespace, name } as PolicyTarget)} must have the action DENY.`)
    return { apiVersion: String(apiVersion), name: String(name), namespace: String(namespace), spec: own }
  })
}

/**
 * The entries that are written: all of them, or a fair share of each tenant's, so that none can push out those of another:
 * first one of each, then a second, and so on. Of a tenant, those that end the most tokens, and of those the newest. Tokens
 * that were revoked by their `jti` alone, which only administrators of all tenants do, are as those of one more tenant.
 */
export function writtenEntries({ entries }: DeniedList): DeniedList['entries'] {
  if (entries.length <= MOST_ENTRIES) return entries
  const rank = ({ claim }: { claim: string }) => CLAIMS.indexOf(claim)
  const ofTenants = [...Map.groupBy(entries, ({ tenant }) => tenant).values()].map(own =>
    own.toSorted((a, b) => rank(a) - rank(b) || b.endsAt - a.endsAt).slice(0, MOST_ENTRIES),
  )
  const placed = ofTenants.flatMap(own => own.map((entry, place) => ({ entry, place })))
  return placed
    .toSorted((a, b) => a.place - b.place || rank(a.entry) - rank(b.entry) || b.entry.endsAt - a.entry.endsAt)
    .slice(0, MOST_ENTRIES)
    .map(({ entry }) => entry)
}

/**
 * The rule of an empty list: no token has this `jti`, which is 128 bits in base64url. Istio's validation rejects a policy that
 * denies and has no rules, and istiod then reads no other change of its configuration files.
 */
export const NO_ENTRY = { when: [{ key: 'request.auth.claims[jti]', values: ['none'] }] }

/** The object with rules for these entries. */
export function withEntries(
  target: PolicyTarget,
  { version }: DeniedList,
  entries: DeniedList['entries'],
): AppliedObject {
  const rules = CLAIMS.flatMap(claim => {
    const values = entries.filter(entry => entry.claim === claim).map(({ value }) => value)
    // Sorted: equal lists are equal objects. A value has no `*`, so Istio compares it as it is.
    return values.length === 0
      ? []
      : [{ when: [{ key: `request.auth.claims[${claim}]`, values: values.toSorted() }] }]
  })
  return {
    title: policyName(target),
    path: `/apis/${target.apiVersion}/namespaces/${target.namespace}/authorizationpolicies/${target.name}`,
    object: {
      apiVersion: target.apiVersion,
      kind: 'AuthorizationPolicy',
      metadata: {
        name: target.name,
        namespace: target.namespace,
        annotations: { [VERSION]: String(version) },
      },
      spec: { ...target.spec, rules: rules.length === 0 ? [NO_ENTRY] : rules },
    },
  }
}

const usage = (message: string) => new CliError(EXIT.usage, message)
