/** What an operation of the admin API answers, before it is put on the wire. */
export interface AdminAnswer {
  status: number
  body?: object
  /** Of the one object that the body is: its ETag. */
  version?: string
  /** In place of a body: one line of JSON for each. */
  ndjson?: readonly object[]
  /** Path of what was created. */
  location?: string
  headers?: Readonly<Record<string, string>>
}

/** `version` is that of the object, where the body is one. */
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
