import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '../support/until.ts'
import type { ClusterApi, KubernetesObject } from './cluster-api.ts'

type Schema = KubernetesObject
const REFERENCE = '#/components/schemas/'

/** For kubeconform: a JSON Schema of each kind that the API server knows, CRDs among them, from its own OpenAPI documents. */
export const LOCATION = '{{.Group}}/{{.ResourceAPIVersion}}/{{.ResourceKind}}.json'

/** Writes them below `folder`, as LOCATION says. In them, a field that the kind does not have is an error. */
export async function writeSchemas(api: ClusterApi, folder: string): Promise<void> {
  const { items } = await api.get('/apis/apiextensions.k8s.io/v1/customresourcedefinitions')
  const custom = items.flatMap(({ spec }: KubernetesObject) =>
    spec.versions
      .filter(({ served }: Schema) => served)
      .map(({ name }: Schema) => `apis/${spec.group}/${name}`),
  )
  const { paths } = await until(
    "the documents of the CRDs' groups",
    () => api.get('/openapi/v3'),
    found => custom.every((path: string) => found.paths[path]),
  )
  for (const [path, { serverRelativeURL }] of Object.entries<Schema>(paths)) {
    if (!/^apis?\/.*v\d/.test(path)) continue
    const all: Record<string, Schema> = (await api.get(serverRelativeURL)).components?.schemas ?? {}
    for (const schema of Object.values(all)) {
      const kinds: Schema[] = schema['x-kubernetes-group-version-kind'] ?? []
      const [named] = kinds
      if (kinds.length !== 1 || !schema.properties?.metadata) continue
      const place = join(folder, named.group || named.version, named.version)
      mkdirSync(place, { recursive: true })
      writeFileSync(join(place, `${named.kind.toLowerCase()}.json`), JSON.stringify(standalone(schema, all)))
    }
  }
}

/** With the schemas that it refers to. */
function standalone(schema: Schema, all: Record<string, Schema>): Schema {
  const definitions: Record<string, Schema> = {}
  const pending = [schema]
  for (let next = pending.pop(); next; next = pending.pop()) {
    for (const [, name = ''] of JSON.stringify(next).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)) {
      const found = all[name]
      if (!found || definitions[name]) continue
      definitions[name] = strict(found)
      pending.push(found)
    }
  }
  const text = JSON.stringify({ ...strict(schema), definitions })
  return JSON.parse(text.replaceAll(`"${REFERENCE}`, '"#/definitions/'))
}

/**
 * In JSON Schema's terms: no other field than those of an object, null where it may be, and a whole number or a text where either may
 * be. Conditions (oneOf, anyOf, not) keep their form: they name some fields only.
 */
function strict(schema: Schema): Schema {
  const { properties, items, additionalProperties, nullable, ...rest } = schema
  const isOpen = rest['x-kubernetes-preserve-unknown-fields'] || rest['x-kubernetes-embedded-resource']
  const isEither = rest['x-kubernetes-int-or-string']
  const made: Schema = { ...rest }
  if (properties) {
    made.properties = Object.fromEntries(
      Object.entries<Schema>(properties).map(([name, each]) => [name, strict(each)]),
    )
    if (additionalProperties === undefined && !isOpen) made.additionalProperties = false
  }
  if (items) made.items = strict(items)
  if (additionalProperties !== undefined)
    made.additionalProperties =
      typeof additionalProperties === 'object' ? strict(additionalProperties) : additionalProperties
  if (isEither) made.type = ['integer', 'string']
  if (nullable && made.type) made.type = [made.type, 'null'].flat()
  return made
}
