import { type ZodType, z } from 'zod'

/** NDJSON: the schema of each line. */
export interface Lines {
  line: ZodType
}

/** A file of comma-separated values. */
export interface Csv {
  csv: true
}

/** A request that works on an installation with a tenant `acme`; tests send it. */
export interface Example {
  query?: Readonly<Record<string, string>>
  body?: unknown
}

/** What the OpenAPI document says about an operation in addition to its schemas. */
export interface RouteDocs {
  /** The operation's name in generated clients. */
  operation: string
  /** A few words. */
  summary: string
  /** Further information. Markdown. */
  details?: string
  /** The body of each successful response, by status; null: no body. */
  answers: Readonly<Partial<Record<200 | 201 | 204, ZodType | Lines | Csv | null>>>
  /** Every `code` of a 409 in addition to those of any change. */
  conflicts?: readonly string[]
  /** The request names an object outside its path that may not exist: 404. */
  notFound?: true
  /** Required where there is a body. */
  example?: Example
}

/** The schema to show instead of the validating one: a number in a query is sent as text. */
export const shownAs = z.registry<{ schema: Readonly<Record<string, unknown>> }>()
