import type { openApiDocument } from './document.ts'
import { type Html, html, inline, markdown } from './html.ts'
import type { JsonSchema } from './json-schema.ts'
import { schemaTable, typeOf } from './schema-table.ts'

type Document = ReturnType<typeof openApiDocument>

/** What the page reads of an operation object. */
interface Operation {
  method: string
  path: string
  operationId: string
  tags: string[]
  summary: string
  description: string
  parameters?: (Parameter | { $ref: string })[]
  requestBody?: { required: boolean; content: Record<string, Media> }
  responses: Record<string, { description?: string; content?: Record<string, Media>; $ref?: string }>
}
interface Parameter {
  name: string
  in: string
  required?: boolean
  description?: string
  schema: JsonSchema
  example?: unknown
}
interface Media {
  schema: JsonSchema
  example?: unknown
  'x-line'?: JsonSchema
}

/** The document as one page without a script: everything on it can be read, searched and linked to as it is. */
export function referencePage(document: Document, links: { style: string; document: string }): string {
  const { info, tags } = document
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ ...(operation as Operation), method, path })),
  )
  const of = (tag: string) => operations.filter(operation => operation.tags.includes(tag))
  const schemas = Object.entries(document.components.schemas)
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${info.title} ${info.version}</title>
<link rel="stylesheet" href="${links.style}">
</head>
<body>
<nav aria-label="Operations">
<a class="top" href="#top">${info.title}</a>
${tags.map(
  ({ name }) => html`<h2><a href="#${name}">${name}</a></h2>
<ul>${of(name).map(({ operationId, summary, method }) => html`<li><a href="#${operationId}">${badge(method)} ${summary}</a></li>`)}</ul>`,
)}
<h2><a href="#schemas">schemas</a></h2>
<ul>${schemas.map(([name]) => html`<li><a href="#${name}">${name}</a></li>`)}</ul>
</nav>
<main id="top">
<h1>${info.title} <small>${info.version}</small></h1>
<p>For programs: <a href="${links.document}">OpenAPI ${document.openapi}</a>.</p>
${markdown(info.description)}
${tags.map(
  ({ name, description }) => html`<section id="${name}"><h2>${name}</h2><p>${inline(description)}</p>
${of(name).map(operation => article(operation, document))}</section>`,
)}
<section id="schemas"><h2>schemas</h2>
${schemas.map(([name, schema]) => shape(name, schema))}</section>
</main>
</body>
</html>
`.text
}

const badge = (method: string) => html`<span class="method ${method}">${method.toUpperCase()}</span>`

function article(operation: Operation, document: Document): Html {
  const { operationId, summary, description, method, path, requestBody, responses } = operation
  const parameters = (operation.parameters ?? []).map(parameter => resolved(parameter, document))
  return html`<article id="${operationId}">
<h3><a href="#${operationId}">${summary}</a></h3>
<p class="place">${badge(method)} <code>${path}</code></p>
${markdown(description)}
${parameters.length > 0 ? html`<h4>Parameters</h4>${parameterTable(parameters)}` : ''}
${requestBody ? bodyOf(requestBody, document) : ''}
<h4>Example</h4><pre><code>${curl(operation, parameters)}</code></pre>
<h4>Answers</h4><table>${Object.entries(responses).map(([status, response]) => answer(status, response, document))}</table>
</article>`
}

/** A parameter that is there, or one that stands among the components. */
function resolved(parameter: Parameter | { $ref: string }, { components }: Document): Parameter {
  if (!('$ref' in parameter)) return parameter
  return components.parameters[nameIn(parameter.$ref)] as Parameter
}

const nameIn = (ref: string) => ref.slice(ref.lastIndexOf('/') + 1)

const parameterTable = (parameters: readonly Parameter[]): Html =>
  html`<table>${parameters.map(
    ({ name, in: place, required, description, schema }) =>
      html`<tr><td><code>${name}</code> <small>${place}</small>${required ? html` <em>required</em>` : ''}</td><td>${typeOf(schema)}${description ? html`. ${inline(description)}` : ''}</td></tr>`,
  )}</table>`

function bodyOf(
  { required, content }: NonNullable<Operation['requestBody']>,
  { components }: Document,
): Html {
  const [[type, media] = []] = Object.entries(content)
  if (!media) return html``
  const { $ref } = media.schema
  const schema = typeof $ref === 'string' ? components.schemas[nameIn($ref)] : media.schema
  return html`<h4>Body <small>${type}${required ? '' : ', may be left out'}</small></h4>${schemaTable(schema ?? {})}`
}

function answer(status: string, response: Operation['responses'][string], { components }: Document): Html {
  const shared = response.$ref ? components.responses[nameIn(response.$ref)] : response
  const { description = '', content = {} } = shared as {
    description?: string
    content?: Record<string, Media>
  }
  const [media] = Object.values(content)
  const codes = codesOf(media?.schema)
  const body = media && (media['x-line'] ? html`Lines of ${typeOf(media['x-line'])}` : typeOf(media.schema))
  return html`<tr><td>${status}</td><td>${inline(description)} ${codes ? inline(codes) : (body ?? '')}</td></tr>`
}

/** The codes that a conflict may have. */
function codesOf(schema: JsonSchema | undefined): string | undefined {
  const parts = (schema?.allOf ?? []) as { properties?: { code?: { enum?: string[] } } }[]
  return (
    parts
      .flatMap(part => part.properties?.code?.enum ?? [])
      .map(code => `\`${code}\``)
      .join(', ') || undefined
  )
}

function curl({ method, path, requestBody }: Operation, parameters: readonly Parameter[]): string {
  const inPath = parameters.filter(parameter => parameter.in === 'path')
  const place = inPath.reduce((text, { name, example }) => text.replace(`{${name}}`, String(example)), path)
  const asked = parameters.filter(parameter => parameter.in === 'query' && parameter.example !== undefined)
  const query = new URLSearchParams(asked.map(({ name, example }) => [name, String(example)])).toString()
  const [[type, media] = []] = Object.entries(requestBody?.content ?? {})
  return [
    `curl ${method === 'get' ? '' : `-X ${method.toUpperCase()} `}"$MINTMARK_ADMIN_URL${place}${query && `?${query}`}"`,
    `  -H "Authorization: Bearer $MINTMARK_ADMIN_TOKEN"`,
    ...(media?.example === undefined
      ? []
      : [`  -H 'Content-Type: ${type}'`, `  -d '${JSON.stringify(media.example)}'`]),
  ].join(' \\\n')
}

function shape(name: string, schema: JsonSchema): Html {
  const [example] = (schema.examples ?? []) as unknown[]
  return html`<article id="${name}"><h3><a href="#${name}">${name}</a></h3>
${typeof schema.description === 'string' ? markdown(schema.description) : ''}
${schemaTable(schema)}
${example === undefined ? '' : html`<pre><code>${JSON.stringify(example, null, 2)}</code></pre>`}</article>`
}
