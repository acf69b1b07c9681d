/** An operation of an OpenAPI document, with the request of its examples. */
export interface Operation {
  operationId: string
  method: string
  /** As in the document: `/keys/{id}`. */
  template: string
  /** With its examples. */
  path: string
  /** Its examples, with the question mark; '' for none. */
  query: string
  /** Of its body, by media type; undefined: it has none. */
  content: Record<string, { example?: unknown }> | undefined
  example: unknown
  responses: Record<string, unknown>
}

/** Every operation, ordered so that each finds what it needs: create, change, delete. */
export function operationsIn(document: { paths: Record<string, Record<string, unknown>> }): Operation[] {
  return Object.entries(document.paths)
    .flatMap(([template, methods]) =>
      Object.entries(methods).map(([method, operation]) => read(template, method, operation as Written)),
    )
    .toSorted((a, b) => rank(a) - rank(b))
}

interface Written {
  operationId: string
  parameters?: { name: string; in: string; example?: unknown }[]
  requestBody?: { content: Record<string, { example?: unknown }> }
  responses: Record<string, unknown>
}

function read(template: string, method: string, operation: Written): Operation {
  const { operationId, parameters = [], requestBody, responses } = operation
  const shown = (place: string) =>
    parameters.flatMap(({ name, in: where, example }) =>
      where === place && example !== undefined ? [[name, String(example)] as const] : [],
    )
  const path = shown('path').reduce((text, [name, value]) => text.replace(`{${name}}`, value), template)
  const query = new URLSearchParams(shown('query').map(pair => [...pair])).toString()
  const content = requestBody?.content
  const [{ example } = {}] = Object.values(content ?? {})
  return { operationId, method, template, path, query: query && `?${query}`, content, example, responses }
}

const LAST = ['deleteTenant', 'deleteAdapter', 'deleteModel', 'deleteTier']

function rank({ operationId, method }: Operation): number {
  if (LAST.includes(operationId)) return 10 + LAST.indexOf(operationId)
  if (method === 'put') return 0
  return operationId === 'createTenant' ? 1 : 2
}
