import { type JsonAnswer, request, type TestService } from '../support/test-service.ts'

export const FORM = 'application/x-www-form-urlencoded'

/** POST /oauth/token with exactly this body and these headers, without the corrections of URLSearchParams and fetch. */
export function post(
  mintmark: TestService,
  body: string,
  headers: Record<string, string> = {},
): Promise<JsonAnswer> {
  const init = { method: 'POST', headers: { 'content-type': FORM, ...headers }, body }
  return request(`${mintmark.service.urls.public}/oauth/token`, init)
}

/** An exchange with `client_secret_post`. */
export function exchange(
  mintmark: TestService,
  secret: string,
  parameters: Record<string, string> = {},
): Promise<JsonAnswer> {
  return mintmark.token({ grant_type: 'client_credentials', client_secret: secret, ...parameters })
}

/** RFC 7617, with the form encoding that RFC 6749 §2.3.1 requires. `text` is everything under the base64. */
export const basicOf = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`

export const basic = (clientId: string, secret: string): string =>
  basicOf(`${encodeURIComponent(clientId)}:${encodeURIComponent(secret)}`)

/** All headers of a response except those that differ each time. */
export function steadyHeaders({ headers }: JsonAnswer): Record<string, string> {
  const { date: _date, 'x-request-id': _id, ...steady } = Object.fromEntries(headers)
  return steady
}
