import { type ZodType, z } from 'zod'
import { shownAs } from '../route-docs.ts'

export type JsonSchema = Record<string, unknown>

/**
 * Converts the validating schemas to JSON Schema. A schema with an id becomes a component. `shapes` holds the
 * components found so far.
 */
export class JsonSchemas {
  readonly shapes: Record<string, JsonSchema> = {}

  /** The schema of a request. */
  sent(schema: ZodType): JsonSchema {
    return this.#convert(schema, 'input')
  }

  /** The schema of a response. Members may be added later, so additional ones are allowed. */
  answered(schema: ZodType): JsonSchema {
    return this.#convert(schema, 'output')
  }

  #convert(schema: ZodType, io: 'input' | 'output'): JsonSchema {
    const { $schema, $defs, ...converted } = z.toJSONSchema(schema, { io, override: readable(io) })
    for (const [id, shape] of Object.entries($defs ?? {})) this.#keep(id, relinked(shape))
    return relinked(converted)
  }

  #keep(id: string, shape: JsonSchema): void {
    const known = this.shapes[id]
    if (known && JSON.stringify(known) !== JSON.stringify(shape))
      throw new Error(`two different schemas have the id ${id}`)
    this.shapes[id] = shape
  }
}

/** Removes what only a machine would read, and substitutes `shownAs`. */
const readable =
  (io: 'input' | 'output') =>
  ({ zodSchema, jsonSchema }: { zodSchema: z.core.$ZodTypes; jsonSchema: JsonSchema }): void => {
    const shown = shownAs.get(zodSchema as unknown as ZodType)
    if (shown) {
      for (const member of Object.keys(jsonSchema)) if (member !== 'description') delete jsonSchema[member]
      Object.assign(jsonSchema, shown.schema)
    }
    if (typeof jsonSchema.format === 'string') delete jsonSchema.pattern
    if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum
    if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum
    if (Array.isArray(jsonSchema.anyOf)) flatten(jsonSchema, jsonSchema.anyOf)
    if (io === 'output') {
      if (jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties
      delete jsonSchema.id
    }
  }

/** Flattens nested alternatives and removes duplicates. */
function flatten(schema: JsonSchema, alternatives: readonly JsonSchema[]): void {
  const all = alternatives.flatMap(each =>
    Array.isArray(each.anyOf) ? (each.anyOf as JsonSchema[]) : [each],
  )
  schema.anyOf = [...new Map(all.map(each => [JSON.stringify(each), each])).values()]
  const [description] = alternatives.flatMap(each =>
    Array.isArray(each.anyOf) ? (each.description ?? []) : [],
  )
  if (description !== undefined) schema.description ??= description
}

const relinked = (schema: object): JsonSchema =>
  JSON.parse(JSON.stringify(schema).replaceAll('"#/$defs/', '"#/components/schemas/'))
