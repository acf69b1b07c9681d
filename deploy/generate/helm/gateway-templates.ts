import type { AllowedRoute, OpenRoutes } from '../../../src/gateway/headers.ts'
import { openRoutes, ROUTES } from '../../../src/gateway/headers.ts'
import { KEY_HEADER_SPELLINGS } from '../../../src/gateway/set-headers.ts'
import { envoyGatewayFiles } from '../envoy-gateway/envoy-gateway.ts'
import { AUDIENCE, ISSUER, ORIGINS } from '../example.ts'
import { istioFiles } from '../istio/istio.ts'

/**
 * deploy/istio/ and deploy/envoy-gateway/ as templates of the chart: the tested files with the chart's values in place of the
 * example's. Routes, origins and the names of a static policy are lists: the files are made with one entry, and each line that has it is
 * repeated by Helm.
 */

const ROUTE = '/every-route-of-the-values'
const NAME = 'every-name-of-the-values'
const CLAIM = 'its-claim'

const ONE_ROUTE: OpenRoutes = {
  MODEL_ROUTES: [{ method: 'POST', path: ROUTE, group: 'openai', model: 'json', priorityFromHeader: true }],
  LIST_ROUTES: openRoutes().LIST_ROUTES,
}

/** Of Envoy Gateway, with others in place of them where limits are enforced. */
const LIMITED = ['extension-policy', 'traffic-policies'] as const

/** Path below templates/ → content. */
export function gatewayTemplates(): Record<string, string> {
  const istio = istioFiles(ONE_ROUTE, [{ claim: CLAIM, name: NAME }])
  const gateway = envoyGatewayFiles(ONE_ROUTE)
  const istioText = (...names: string[]) =>
    names.map(name => istioValued(bare(istio[`deploy/istio/${name}.yaml`]))).join('---\n')
  const gatewayText = (...names: string[]) =>
    names.map(name => gatewayValued(bare(gateway[`deploy/envoy-gateway/${name}.yaml`]))).join('---\n')
  const tokens = istioText('authorization-policy', 'envoy-filter')
  const statics = istioText('static/authorization-policy', 'static/envoy-filter')
  const templates = {
    '_routes.tpl': routesOfGroups,
    'istio/request-authentication.yaml': authentication(
      istioText('request-authentication'),
      istioText('api-keys/request-authentication'),
    ),
    'istio/policies.yaml': `{{- if .Values.istio.enabled }}\n{{- if eq .Values.istio.mode "static" }}\n${statics}{{- else }}\n${tokens}{{- end }}\n{{- end }}\n`,
    'istio/api-keys.yaml': where(
      'and .Values.istio.enabled (eq .Values.istio.mode "apiKeys")',
      istioText('api-keys/authorization-policy', 'api-keys/envoy-filter'),
    ),
    'istio/routes.yaml': where(
      'and .Values.istio.enabled (eq .Values.istio.mode "apiKeys")',
      `{{- if .Values.istio.targetRefs }}\n${HTTP_ROUTE}{{- else }}\n${istioText('api-keys/virtual-service')}{{- end }}\n`,
    ),
    'istio/limits.yaml': where(
      'and .Values.istio.enabled .Values.istio.limits.enabled',
      istioText('limits/envoy-filter'),
    ),
    'istio/engine.yaml': where(
      'and .Values.istio.enabled .Values.istio.engine.host',
      istioText('destination-rule'),
    ),
    'envoy-gateway/gateway.yaml': where(
      '.Values.envoyGateway.enabled',
      gatewayText('envoy-proxy', 'routes', 'security-policy'),
    ),
    'envoy-gateway/policies.yaml': where(
      '.Values.envoyGateway.enabled',
      `{{- if .Values.envoyGateway.limits.enabled }}\n${gatewayText(...LIMITED.map(name => `limits/${name}`))}{{- else }}\n${gatewayText(...LIMITED)}{{- end }}\n`,
    ),
  }
  return Object.fromEntries(Object.entries(templates).map(([path, text]) => [path, quotedNamespaces(text)]))
}

/** A namespace may be a number, and is text all the same. */
const quotedNamespaces = (text: string): string =>
  text.replace(/(namespace: )\{\{ ((?:include "[^"]+" \$)|[$.\w]+) \}\}/g, '$1{{ $2 | quote }}')

/** What NOTES.txt shows: the provider of the API keys' policy, for istiod's own values. */
export const istiodValues = (): string =>
  istioValued(bare(istioFiles(ONE_ROUTE)['deploy/istio/api-keys/istiod-values.yaml']))

const where = (condition: string, text: string) => `{{- if ${condition} }}\n${text}{{- end }}\n`

/** Without the comments about the file. */
function bare(text: string | undefined): string {
  if (text === undefined) throw new Error('a file of a gateway has another name')
  if (text.includes('{{')) throw new Error('a file of a gateway has a text that Helm would read as its own')
  return text.replace(/^#.*\n(#.*\n)*/, '')
}

const FULLNAME = '{{ include "mintmark.fullname" $ }}'
const NAMESPACE = '{{ $.Release.Namespace }}'
const AUDIENCES = '{{ $.Values.settings.MINTMARK_AUDIENCE | default "vllm" | quote }}'
const PUBLIC = 'http://mintmark.mintmark.svc.cluster.local:8080'
const SERVICE = `${FULLNAME}.${NAMESPACE}.svc.cluster.local`
const CHECK = `${FULLNAME}-gateway.${NAMESPACE}.svc.cluster.local`

/** The VirtualService as a route of Gateway API. As a hostname, a Service of another namespace needs no ReferenceGrant. */
const HTTP_ROUTE = `# The routes. Not the engine's list, which contains every tenant's adapters: Mintmark lists what the caller may use.
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: ${FULLNAME}
  namespace: {{ $.Values.istio.namespace }}
spec:
  parentRefs:
    {{- range $.Values.istio.targetRefs }}
    - { group: {{ .group }}, kind: {{ .kind }}, name: {{ .name }} }
    {{- end }}
  {{- $hosts := without $.Values.istio.hosts "*" }}
  {{- with $hosts }}
  hostnames: {{ toJson . }}
  {{- end }}
  rules:
    - matches:
        - { path: { type: PathPrefix, value: /v1/models }, method: GET }
      backendRefs: [{ group: networking.istio.io, kind: Hostname, name: ${CHECK}, port: 8082 }]
    - filters:
        # Tokens and keys are removed, in every spelling of their headers.
        - type: RequestHeaderModifier
          requestHeaderModifier: { remove: [authorization, ${KEY_HEADER_SPELLINGS.join(', ')}] }
      backendRefs: [{ group: networking.istio.io, kind: Hostname, name: {{ $.Values.istio.engine.host }}, port: {{ $.Values.istio.engine.port }} }]
`

type Replacement = readonly [example: string, value: string]

const OF_BOTH: readonly Replacement[] = [
  [ISSUER, '{{ $.Values.issuer }}'],
  [`audiences: [${AUDIENCE}]`, `audiences: [${AUDIENCES}]`],
]

const OF_ISTIO: readonly Replacement[] = [
  ...OF_BOTH,
  [PUBLIC, `http://${SERVICE}:8080`],
  ['mintmark.mintmark.svc.cluster.local', CHECK],
  ['ratelimit.mintmark.svc.cluster.local', '{{ $.Values.istio.limits.service }}'],
  [
    'host: vllm.vllm.svc.cluster.local, port: { number: 8000 }',
    'host: {{ $.Values.istio.engine.host }}, port: { number: {{ $.Values.istio.engine.port }} }',
  ],
  ['host: vllm.vllm.svc.cluster.local', 'host: {{ $.Values.istio.engine.host }}'],
  ['local IMPORTED_KEYS = nil', 'local IMPORTED_KEYS = {{ include "mintmark.importedKeys" $ }}'],
  ['hosts: ["*"]', 'hosts: {{ toJson $.Values.istio.hosts }}'],
  ['gateways: [inference]', 'gateways: {{ toJson $.Values.istio.gateways }}'],
  ['namespace: istio-system', 'namespace: {{ $.Values.istio.namespace }}'],
  [
    '  selector:\n    matchLabels: { istio: ingressgateway }\n',
    '  {{- include "mintmark.istioTarget" $ | nindent 2 }}\n',
  ],
  [
    '  workloadSelector:\n    labels: { istio: ingressgateway }\n',
    '  {{- include "mintmark.istioWorkloads" $ | nindent 2 }}\n',
  ],
  ['name: mintmark\n', `name: ${FULLNAME}\n`],
  ['name: mintmark-', `name: ${FULLNAME}-`],
  [CLAIM, '{{ .claim }}'],
]

const IN_GATEWAY_NAMESPACE = 'namespace: {{ include "mintmark.gatewayNamespace" $ }}'

const OF_ENVOY_GATEWAY: readonly Replacement[] = [
  ...OF_BOTH,
  ['http://mintmark.inference.svc.cluster.local:8080', `http://${SERVICE}:8080`],
  ['{ name: mintmark, port: 8080 }', `{ name: ${FULLNAME}, namespace: ${NAMESPACE}, port: 8080 }`],
  ['{ name: mintmark, port: 8082 }', `{ name: ${FULLNAME}-gateway, namespace: ${NAMESPACE}, port: 8082 }`],
  [
    '{ name: vllm, port: 8000 }',
    '{ name: {{ $.Values.envoyGateway.engine.name }}, namespace: {{ include "mintmark.engineNamespace" $ }}, port: {{ $.Values.envoyGateway.engine.port }} }',
  ],
  [
    `allowOrigins: [${ORIGINS.map(origin => `"${origin}"`).join(', ')}]`,
    'allowOrigins: {{ toJson $.Values.envoyGateway.origins }}',
  ],
  ['parentRefs: [{ name: inference }]', 'parentRefs: [{ name: {{ $.Values.envoyGateway.gateway }} }]'],
  ['kind: Gateway, name: inference }', 'kind: Gateway, name: {{ $.Values.envoyGateway.gateway }} }'],
  ['namespace: inference\n', `${IN_GATEWAY_NAMESPACE}\n`],
  ['name: inference', `name: ${FULLNAME}-inference`],
]

const replaced = (text: string, replacements: readonly Replacement[]) =>
  replacements.reduce((written, [example, value]) => written.replaceAll(example, value), text)

const istioValued = (text: string) => repeated(replaced(text, OF_ISTIO))
const gatewayValued = (text: string) => repeated(replaced(withoutEmptyCors(text), OF_ENVOY_GATEWAY))

/** Envoy Gateway takes no empty list of origins. */
const withoutEmptyCors = (text: string) =>
  text.replace(
    / {2}# Web pages[^\n]*\n {2}cors:\n(?: {4}[^\n]*\n)+/g,
    lines => `{{- if $.Values.envoyGateway.origins }}\n${lines}{{- end }}\n`,
  )

/** Each run of lines that has an entry of a list, repeated for the list of the values. */
function repeated(text: string): string {
  const paths = text
    .replaceAll(`paths: [${ROUTE}]`, 'paths: {{ include "mintmark.modelPaths" $ }}')
    .replaceAll(`["${ROUTE}"] = true`, '["{{ .path }}"] = {{ .priorityFromHeader }}')
    .replaceAll(ROUTE, '{{ .path }}')
  const routes = around(
    paths,
    /(?:[^\n]*\{\{ \.path \}\}[^\n]*\n)+/g,
    'include "mintmark.modelRoutes" $ | fromJsonArray',
  )
  const origins = ORIGINS.map(origin => `["${origin}"] = true`).join('')
  const listed = around(
    routes.replaceAll(origins, '[{{ quote . }}] = true'),
    /[^\n]*\[\{\{ quote \. \}\}\] = true,\n/g,
    '$.Values.istio.origins',
  )
  const rule = new RegExp(
    `    - from:\n(?:(?!    - from:)[^\n]*\n)*?[^\n]*"${NAME}"[^\n]*\n[^\n]*"${NAME}"[^\n]*\n`,
    'g',
  )
  return around(listed, rule, 'include "mintmark.staticNames" $ | fromJsonArray').replaceAll(
    `"${NAME}"`,
    '{{ .name | quote }}',
  )
}

const around = (text: string, lines: RegExp, list: string) =>
  text.replace(lines, found => `{{- range ${list} }}\n${found}{{- end }}\n`)

/**
 * The object with its rules: a file for `mintmark sync`, or what Helm applies where sync is off. With sync, Helm creates and deletes
 * the object, and sync applies its rules; until then the policies reject every request. Helm owns the selector.
 */
function authentication(tokens: string, apiKeys: string): string {
  const target = /[^\n]*mintmark\.istioTarget[^\n]*\n/
  const forward = /(?<=fromHeaders:[^\n]*\n)(?: {6}[^\n]*\n)+?(?= {6}outputClaimToHeaders)/
  const [ofTokens, ofKeys] = [tokens, apiKeys].map(text => forward.exec(text)?.[0])
  if (!target.test(tokens) || !ofTokens || !ofKeys)
    throw new Error('request-authentication.yaml has no selector, or does not say what becomes of the token')
  const rules = tokens
    .replace(target, lines => `{{- if not .Values.istio.sync.enabled }}\n${lines}{{- end }}\n`)
    .replace(
      ofTokens,
      `{{- if eq .Values.istio.mode "apiKeys" }}\n${ofKeys}{{- else }}\n${ofTokens}{{- end }}\n`,
    )
  const withoutRules = tokens.replace(/ {2}jwtRules:\n[\s\S]*$/, '')
  return `{{- define "mintmark.requestAuthentication" }}\n${rules}{{- end }}
{{- if .Values.istio.enabled }}
{{- if .Values.istio.sync.enabled }}
${withoutRules}{{- else }}
{{- include "mintmark.requestAuthentication" . }}
{{- end }}
{{- end }}
`
}

const posts: readonly AllowedRoute[] = ROUTES.filter(({ model }) => model === 'json')

/** The routes of src/gateway/headers.ts by group, and those that \`routes\` of the values opens. */
const routesOfGroups = `{{/* JSON: the routes whose body names a model, of the groups in "routes". From src/gateway/headers.ts. */}}
{{- define "mintmark.modelRoutes" -}}
{{- $open := list }}
{{- range fromJsonArray \`${JSON.stringify(posts.map(({ path, group, priorityFromHeader }) => ({ path, group, priorityFromHeader })))}\` }}
{{- if has .group $.Values.routes }}
{{- $open = append $open . }}
{{- end }}
{{- end }}
{{- toJson $open }}
{{- end }}

{{/* JSON: their paths. */}}
{{- define "mintmark.modelPaths" -}}
{{- $paths := list }}
{{- range include "mintmark.modelRoutes" . | fromJsonArray }}
{{- $paths = append $paths .path }}
{{- end }}
{{- toJson $paths }}
{{- end }}
`
