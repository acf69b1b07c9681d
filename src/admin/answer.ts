/** The response of an operation of the admin API, before serialization. */
export interface AdminAnswer {
  status: number
  body?: object
  /** The ETag of the one object that is the body. */
  version?: string
  /** Sent instead of a body: one line of JSON each. */
  ndjson?: readonly object[]
  /** Sent instead of a body: a whole file. */
  csv?: string
  /** Path of the created object. */
  location?: string
  headers?: Readonly<Record<string, string>>
}

/** `version` is that of the object, when the body is one. */
export const ok = (body: object, version?: string): AdminAnswer => ({
  status: 200,
  body,
  ...(version !== undefined && { version }),
})
export const created = (location: string, body: object, version: string): AdminAnswer => ({
  status: 201,
  location,
  body,
  version,
})
export const noContent: AdminAnswer = { status: 204 }
