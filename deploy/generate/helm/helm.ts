import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { readConfig } from '../../../src/config/config.ts'
import { Env } from '../../../src/config/env.ts'
import type { OpenRoutes } from '../../../src/gateway/headers.ts'
import { AUDIENCE, ISSUER } from '../example.ts'
import { istioFiles } from '../istio/istio.ts'
import { type Schema, valuesSchema } from './values-schema.ts'

const CHART = 'deploy/helm/mintmark'
const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8')

/**
 * What the chart does not say itself: the schema of its values and its README, the alerts, the dashboard, the roles of the trial
 * database, and the objects of an Istio gateway, made from the files that the tests run.
 */
export function helmFiles(routes: OpenRoutes): Record<string, string> {
  const schema = valuesSchema(variables())
  return {
    [`${CHART}/values.schema.json`]: `${JSON.stringify(schema, null, 2)}\n`,
    [`${CHART}/README.md`]: readme(schema, parse(read(`${CHART}/values.yaml`))),
    [`${CHART}/files/alerts.yaml`]: read('deploy/observability/mintmark-alerts.yaml'),
    [`${CHART}/files/dashboard.json`]: read('deploy/observability/mintmark-dashboard.json'),
    [`${CHART}/files/create-roles.sh`]: read('deploy/compose/create-roles.sh'),
    [`${CHART}/templates/istio.yaml`]: istioTemplate(routes),
  }
}

function variables() {
  const env = new Env({})
  readConfig(env)
  return env.descriptions
}

const INTRODUCTION = `# Mintmark's Helm chart

Generated from values.schema.json by \`npm run generate\`. [The guide](../../../docs/guides/kubernetes.md) leads from an empty
cluster to a rejected and an accepted call.

\`\`\`yaml
# A production installation. Both Secrets exist before.
image: { repository: registry.example.com/mintmark }
issuer: https://tokens.example.com
database: { existingSecret: mintmark-database } # keys: database-url, migrate-database-url
secrets: { existingSecret: mintmark-secrets } # keys: peppers, encryption-keys, root-token
\`\`\`

A value that the schema does not allow is rejected by name, before anything is changed.

| value | default | |
|---|---|---|
`

/** One row for each value, in the order of values.yaml; environment variables are in docs/configuration.md. */
function readme(schema: Schema, defaults: Record<string, unknown>): string {
  const rows: string[] = []
  const walk = (path: string, value: unknown, node: Schema | undefined) => {
    if (node === undefined) throw new Error(`values.yaml has ${path}, which the schema has not`)
    if (node.properties && path !== 'settings') {
      for (const name of Object.keys(node.properties)) {
        if (!Object.hasOwn(value as object, name)) throw new Error(`values.yaml has no ${path}.${name}`)
      }
      for (const [name, inner] of Object.entries(value as object))
        walk(path ? `${path}.${name}` : name, inner, node.properties[name])
      return
    }
    rows.push(`| \`${path}\` | \`${JSON.stringify(value)}\` | ${node.description} |`)
  }
  const { global: _, ...properties } = schema.properties ?? {}
  walk('', defaults, { ...schema, properties })
  return `${INTRODUCTION}${rows.join('\n')}\n`
}

/** deploy/istio/ as one template: the tested files with the chart's values in place of the example's. */
function istioTemplate(routes: OpenRoutes): string {
  const files = istioFiles(routes)
  const objects = ['request-authentication', 'authorization-policy', 'envoy-filter'].map(name => {
    const text = files[`deploy/istio/${name}.yaml`] as string
    if (text.includes('{{')) throw new Error(`${name}.yaml has a text that Helm would read as its own`)
    return valued(text.replace(/^#.*\n(#.*\n)*/, ''))
  })
  const [authentication = '', ...others] = objects
  return `${authenticationOfSync(authentication)}{{- if .Values.istio.enabled }}\n${[AUTHENTICATION, ...others].join('---\n')}{{- end }}\n`
}

/** The object with its rules: a file for `mintmark sync`, or what Helm applies where sync is off. Helm owns the selector. */
const authenticationOfSync = (text: string) => {
  const selector = / {2}selector:\n.*\n/
  if (!selector.test(text)) throw new Error('request-authentication.yaml has no selector')
  const conditional = text.replace(
    selector,
    lines => `{{- if not .Values.istio.sync.enabled }}\n${lines}{{- end }}\n`,
  )
  return `{{- define "mintmark.requestAuthentication" }}\n${conditional}{{- end }}\n`
}

/** With sync, Helm creates and deletes the object, and sync applies its rules. Until then the policies reject every request. */
const AUTHENTICATION = `{{- if .Values.istio.sync.enabled }}
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata:
  name: {{ include "mintmark.fullname" . }}
  namespace: {{ .Values.istio.namespace }}
spec:
  selector:
    matchLabels: {{ toJson .Values.istio.selector }}
{{- else }}
{{- include "mintmark.requestAuthentication" . }}
{{- end }}
`

const REPLACEMENTS: readonly [example: string, value: string][] = [
  [ISSUER, '{{ .Values.issuer }}'],
  [
    `audiences: [${AUDIENCE}]`,
    'audiences: [{{ .Values.settings.MINTMARK_AUDIENCE | default "vllm" | quote }}]',
  ],
  [
    'http://mintmark.mintmark.svc.cluster.local:8080',
    'http://{{ include "mintmark.fullname" . }}.{{ .Release.Namespace }}.svc.cluster.local:8080',
  ],
  ['namespace: istio-system', 'namespace: {{ .Values.istio.namespace }}'],
  ['{ istio: ingressgateway }', '{{ toJson .Values.istio.selector }}'],
  ['name: mintmark\n', 'name: {{ include "mintmark.fullname" . }}\n'],
  ['name: mintmark-token-required', 'name: {{ include "mintmark.fullname" . }}-token-required'],
  ['name: mintmark-routes', 'name: {{ include "mintmark.fullname" . }}-routes'],
]

const valued = (text: string) =>
  REPLACEMENTS.reduce((written, [example, value]) => written.replaceAll(example, value), withOrigins(text))

/** One line of the script for each origin in the values. */
function withOrigins(text: string): string {
  return text.replace(
    /(local ORIGINS = \{\n)(?:( *)\["[^"]+"\] = true,\n)+/,
    '$1{{- range .Values.istio.origins }}\n$2[{{ quote . }}] = true,\n{{- end }}\n',
  )
}
