import { parseAllDocuments } from 'yaml'
import { CLAIM_HEADERS, STRIPPED_NAMES, STRIPPED_PREFIXES } from '../../gateway/headers.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import { MODIFIED } from '../sync/published-jwks.ts'
import { type Finding, fault, ok } from './finding.ts'
import { keyFinding } from './gateway-key-checks.ts'
import type { Jwks } from './jwks-checks.ts'

type Json = Record<string, unknown>

interface Resource {
  kind: string
  namespace: string
  name: string
  /** Whether `mintmark sync` wrote it. */
  isSynced: boolean
  spec: Json
}

/**
 * Problems of Istio's resources, considered together, for tokens of this issuer. @throws {CliError} for invalid YAML.
 */
export function istioFindings(
  files: readonly { name: string; text: string }[],
  issuer: string,
  published?: Jwks,
): Finding[] {
  const resources = files.flatMap(readResources)
  const authentications = resources.filter(({ kind }) => kind === 'RequestAuthentication')
  if (authentications.length === 0)
    return [
      fault(
        'istio',
        'no RequestAuthentication in these files: no token is verified',
        'Apply deploy/istio/request-authentication.yaml.',
      ),
    ]
  const ours = authentications.filter(resource => rulesOf(resource).some(rule => rule.issuer === issuer))
  if (ours.length === 0)
    return [
      fault(
        'istio',
        `no jwtRule has exactly the issuer "${issuer}": its tokens are rejected, or pass unverified`,
        'Set exactly this issuer in its jwtRules.',
      ),
    ]
  return ours.flatMap(resource => [
    ...ruleFindings(resource, issuer),
    ...inlineFindings(resource, issuer, published),
    ...lostFindings(resource, issuer),
    ...policyFindings(resource, resources),
    ...stripFindings(resource, resources),
  ])
}

function readResources({ name, text }: { name: string; text: string }): Resource[] {
  return parseAllDocuments(text).flatMap(document => {
    const [fault] = document.errors
    if (fault) throw new CliError(EXIT.usage, `${name} is not valid YAML: ${fault.message.split('\n')[0]}`)
    const resource = document.toJS() as Json | null
    const items = resource?.kind === 'List' ? ((resource.items ?? []) as Json[]) : [resource ?? {}]
    return items.filter(item => typeof item.kind === 'string').map(toResource)
  })
}

function toResource({ kind, metadata, spec }: Json): Resource {
  const { name, namespace, annotations } = (metadata ?? {}) as Json
  return {
    kind: String(kind),
    name: String(name),
    namespace: String(namespace ?? 'default'),
    isSynced: MODIFIED in ((annotations ?? {}) as Json),
    spec: (spec ?? {}) as Json,
  }
}

const rulesOf = ({ spec }: Resource) => (Array.isArray(spec.jwtRules) ? (spec.jwtRules as Json[]) : [])
const shown = ({ kind, namespace, name }: Resource) => `${kind} ${namespace}/${name}`

function ruleFindings(resource: Resource, issuer: string): Finding[] {
  const findings: Finding[] = []
  for (const rule of rulesOf(resource).filter(candidate => candidate.issuer === issuer)) {
    if (!Array.isArray(rule.audiences) || rule.audiences.length === 0)
      findings.push(
        fault(
          'audiences',
          `${shown(resource)} has no audiences: tokens for another service pass`,
          'Add: audiences: [vllm]',
        ),
      )
    const configured = new Map(
      ((rule.outputClaimToHeaders ?? []) as Json[]).map(({ header, claim }) => [
        String(header).toLowerCase(),
        claim,
      ]),
    )
    const absent = CLAIM_HEADERS.filter(({ header, claim }) => configured.get(header) !== claim)
    if (absent.length > 0) {
      const lines = absent.map(({ header, claim }) => `{ header: ${header}, claim: ${claim} }`)
      findings.push(
        fault(
          'headers',
          `${shown(resource)} lacks in outputClaimToHeaders, so headers from clients reach the engine: ${lines.join(', ')}`,
          'Add them, as in deploy/istio/request-authentication.yaml.',
        ),
      )
    }
  }
  return findings.length > 0
    ? findings
    : [ok('rule', `${shown(resource)} has audiences and sets all headers`)]
}

/** The JWKS that `mintmark sync` wrote into it. */
const inlineFindings = (resource: Resource, issuer: string, published: Jwks | undefined): Finding[] =>
  rulesOf(resource)
    .filter(rule => rule.issuer === issuer && typeof rule.jwks === 'string')
    .map(rule => keyFinding(shown(resource), String(rule.jwks), published))

/** Of an object in the cluster: sync wrote its rules, and they are no longer its own. */
function lostFindings(resource: Resource, issuer: string): Finding[] {
  const isLost = ({ issuer: its, jwks }: Json) => its === issuer && typeof jwks !== 'string'
  if (!resource.isSynced || !rulesOf(resource).some(isLost)) return []
  return [
    fault(
      'sync',
      `another tool has replaced the rules that mintmark sync wrote in ${shown(resource)}: the JWKS is no longer inline`,
      'Pause that tool, run sync with --once --force-conflicts, and remove jwtRules from what it applies (docs/guides/istio.md).',
    ),
  ]
}

/** A RequestAuthentication lets requests without a token through: a policy on the same workloads must reject them. */
function policyFindings(resource: Resource, all: readonly Resource[]): Finding[] {
  const policies = all.filter(({ kind, spec }) => kind === 'AuthorizationPolicy' && demandsPrincipal(spec))
  if (policies.some(policy => covers(policy, resource)))
    return [ok('policy', `requests without a token are rejected where ${shown(resource)} applies`)]
  return [
    fault(
      'policy',
      `${shown(resource)} has no AuthorizationPolicy on the same workloads that rejects requests without a token: THEY PASS`,
      'Add one (deploy/istio/authorization-policy.yaml).',
    ),
  ]
}

/** DENY for requests without a principal, or ALLOW with a principal in every rule. */
function demandsPrincipal({ action = 'ALLOW', rules }: Json): boolean {
  const list = Array.isArray(rules) ? (rules as Json[]) : []
  const sources = (rule: Json) =>
    (Array.isArray(rule.from) ? (rule.from as Json[]) : []).map(from => (from.source ?? {}) as Json)
  if (action === 'DENY')
    return list.some(
      rule =>
        rule.to === undefined &&
        rule.when === undefined &&
        sources(rule).some(source => [source.notRequestPrincipals].flat().includes('*')),
    )
  if (action !== 'ALLOW' || list.length === 0) return false
  return list.every(
    rule =>
      sources(rule).length > 0 && sources(rule).every(source => Array.isArray(source.requestPrincipals)),
  )
}

/** Whether one applies wherever the other does: the same target, or all of the namespace. */
function covers(wide: Resource, narrow: Resource): boolean {
  const target = ({ spec }: Resource) =>
    JSON.stringify([spec.selector ?? null, spec.targetRefs ?? spec.targetRef ?? null])
  const everything = JSON.stringify([null, null])
  const sameNamespace = wide.namespace === narrow.namespace
  return (
    (sameNamespace && target(wide) === target(narrow)) ||
    ((sameNamespace || wide.namespace === 'istio-system') && target(wide) === everything)
  )
}

/** Headers that steer the engine and are not overwritten by the mapping. */
function stripFindings(resource: Resource, all: readonly Resource[]): Finding[] {
  const removing = all.filter(({ kind }) => ['EnvoyFilter', 'VirtualService', 'HTTPRoute'].includes(kind))
  const text = JSON.stringify(removing.map(({ spec }) => spec)).toLowerCase()
  const overwritten = new Set(CLAIM_HEADERS.map(({ header }) => header))
  const families = STRIPPED_PREFIXES.map(({ name }) => name)
  const named = (name: string) => new RegExp(`(^|[^a-z0-9-])${name}([^a-z0-9-]|$)`).test(text)
  const missing = [
    ...families.filter(family => !named(family)).map(family => `${family}*`),
    ...STRIPPED_NAMES.filter(
      name =>
        !overwritten.has(name) &&
        !named(name) &&
        !families.some(family => name.startsWith(family) && named(family)),
    ),
  ]
  if (missing.length === 0) return [ok('strips', 'headers that steer the engine are removed')]
  return [
    fault(
      'strips',
      `${shown(resource)} does not remove these headers of clients: ${missing.join(', ')}`,
      'Apply deploy/istio/envoy-filter.yaml, which removes them.',
    ),
  ]
}
