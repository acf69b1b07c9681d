import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { readConfig } from '../../../src/config/config.ts'
import { Env } from '../../../src/config/env.ts'
import { gatewayTemplates, istiodValues } from './gateway-templates.ts'
import type { Schema } from './schema.ts'
import { valuesSchema } from './values-schema.ts'

const CHART = 'deploy/helm/mintmark'
const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8')

/**
 * What the chart does not say itself: the schema of its values and its README, the alerts, the dashboard, the roles of the trial
 * database, and the objects of gateways, made from the files that the tests run.
 */
export function helmFiles(): Record<string, string> {
  const schema = valuesSchema(variables())
  return {
    [`${CHART}/values.schema.json`]: `${JSON.stringify(schema, null, 2)}\n`,
    [`${CHART}/README.md`]: readme(schema, parse(read(`${CHART}/values.yaml`))),
    [`${CHART}/files/alerts.yaml`]: read('deploy/observability/mintmark-alerts.yaml'),
    [`${CHART}/files/istio-alerts.yaml`]: read('deploy/observability/mintmark-istio-alerts.yaml'),
    [`${CHART}/files/dashboard.json`]: read('deploy/observability/mintmark-dashboard.json'),
    [`${CHART}/files/gateways-dashboard.json`]: read('deploy/observability/mintmark-gateways-dashboard.json'),
    [`${CHART}/files/limits-dashboard.json`]: read('deploy/observability/mintmark-limits-dashboard.json'),
    [`${CHART}/files/create-roles.sh`]: read('deploy/compose/create-roles.sh'),
    [`${CHART}/templates/_istiod-values.tpl`]: `{{- define "mintmark.istiodValues" -}}\n${istiodValues()}{{- end }}\n`,
    ...Object.fromEntries(
      Object.entries(gatewayTemplates()).map(([path, text]) => [`${CHART}/templates/${path}`, text]),
    ),
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
