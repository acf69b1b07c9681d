import { type Html, html, inline } from './html.ts'
import type { JsonSchema } from './json-schema.ts'

/** JSON Schema as a table of members, for people. */

/** Each member of an object in a row, those of objects and lists within it below. Nothing for what has none. */
export function schemaTable(schema: JsonSchema): Html {
  const rows = rowsOf(schema, '')
  if (rows.length === 0) return html`<p>${typeOf(schema)}</p>`
  return html`<table>${rows.map(
    ({ name, schema, required }) =>
      html`<tr><td><code>${name}</code>${required ? html` <em>required</em>` : ''}</td><td>${typeOf(schema)}${remarks(schema)}</td></tr>`,
  )}</table>`
}

interface Row {
  name: string
  schema: JsonSchema
  required: boolean
}

function rowsOf(schema: JsonSchema, prefix: string): Row[] {
  const { properties = {}, required = [] } = schema as {
    properties?: Record<string, JsonSchema>
    required?: string[]
  }
  return Object.entries(properties).flatMap(([name, member]) => {
    const path = prefix + name
    const below =
      member.type === 'array' ? rowsOf(member.items as JsonSchema, `${path}[].`) : rowsOf(member, `${path}.`)
    return [{ name: path, schema: member, required: required.includes(name) }, ...below]
  })
}

/** What a value may be, in a few words. */
export function typeOf(schema: JsonSchema): Html {
  const { $ref, anyOf, allOf, type, items, const: only } = schema
  if (typeof $ref === 'string') {
    const name = $ref.slice($ref.lastIndexOf('/') + 1)
    return html`<a href="#${name}">${name}</a>`
  }
  const alternatives = (anyOf ?? allOf) as JsonSchema[] | undefined
  if (alternatives) return joined(alternatives.map(typeOf), anyOf ? ' or ' : ' with ')
  if (only !== undefined) return html`<code>${JSON.stringify(only)}</code>`
  if (Array.isArray(schema.enum))
    return joined(
      schema.enum.map(value => html`<code>${String(value)}</code>`),
      ', ',
    )
  if (Array.isArray(type))
    return joined(
      type.map(each => typeOf({ ...schema, type: each })),
      ' or ',
    )
  if (type === 'array') return html`list of ${typeOf(items as JsonSchema)}`
  if (type === 'object' && schema.additionalProperties) {
    return html`object of ${typeOf(schema.additionalProperties as JsonSchema)}`
  }
  return html`${String(schema.format ?? type ?? 'anything')}${range(schema)}`
}

const joined = (parts: readonly Html[], by: string): Html =>
  html`${parts.flatMap((part, index) => (index === 0 ? [part] : [html`${by}`, part]))}`

function range({ minimum, maximum, maxLength }: JsonSchema): string {
  if (minimum !== undefined && maximum !== undefined) return ` from ${minimum} to ${maximum}`
  if (minimum !== undefined) return ` from ${minimum}`
  return maxLength === undefined ? '' : ` of at most ${maxLength} characters`
}

function remarks(schema: JsonSchema): Html[] {
  const { description, pattern } = schema
  const fallback = schema.default
  return [
    ...(typeof description === 'string' ? [html`. ${inline(description)}`] : []),
    ...(fallback === undefined ? [] : [html`. Left out: <code>${JSON.stringify(fallback)}</code>`]),
    ...(typeof pattern === 'string' ? [html`<br><code class="pattern">${pattern}</code>`] : []),
  ]
}
