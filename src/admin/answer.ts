/** What an operation of the admin API answers, before it is put on the wire. */
export interface AdminAnswer {
  status: number
  body?: object
  /** In place of a body: one line of JSON for each. */
  ndjson?: readonly object[]
  /** Path of what was created. */
  location?: string
  headers?: Readonly<Record<string, string>>
}

export const ok = (body: object): AdminAnswer => ({ status: 200, body })
export const created = (location: string, body: object): AdminAnswer => ({ status: 201, location, body })
export const noContent: AdminAnswer = { status: 204 }
