import { type ZodType, z } from 'zod'

/** NDJSON: each line is one of these. */
export interface Lines {
  line: ZodType
}

/** A request that works on an installation with a tenant `acme`; tests send it. */
export interface Example {
  query?: Readonly<Record<string, string>>
  body?: unknown
}

/** What the OpenAPI document says about an operation in addition to its schemas. */
export interface RouteDocs {
  /** The name by which clients that are made from the document call it. */
  operation: string
  /** A few words. */
  summary: string
  /** What else one should know. Markdown. */
  details?: string
  /** The body of each answer that went well, by status; null: there is none. */
  answers: Readonly<Partial<Record<200 | 201 | 204, ZodType | Lines | null>>>
  /** Every `code` of a 409, beside those that any change may be met with. */
  conflicts?: readonly string[]
  /** It names something outside its path that may not be there: 404. */
  notFound?: true
  /** Wanted where there is a body. */
  example?: Example
}

/** The schema to show instead of the one that is checked: a number in a query arrives as text. */
export const shownAs = z.registry<{ schema: Readonly<Record<string, unknown>> }>()
