import { CLAIM_HEADERS } from '../../src/gateway/headers.ts'
import { type Answer, type Sent, send } from '../gateway-configs/client.ts'
import type { TestService } from '../support/test-service.ts'

/** Calls /check as a gateway does. `path` is what the gateway appends to /check. */
export function ask(mintmark: TestService, sent: Sent = {}): Promise<Answer> {
  return send(mintmark.service.urls.gateway, {
    method: 'GET',
    body: '',
    ...sent,
    path: `/check${sent.path ?? '/v1/chat/completions'}`,
  })
}

export const bearer = (credential: string): [string, string][] => [['Authorization', `Bearer ${credential}`]]

/** The error code of a denial, after checking its status, challenge, media type and body. */
export function deniedAs({ status, headers, text }: Answer): string {
  const { error } = JSON.parse(text)
  const type = { 401: 'authentication_error', 403: 'permission_error', 503: 'server_error' }[status]
  const whole =
    type !== undefined &&
    error.type === type &&
    /^[A-Z`].{10,}[.]$/.test(error.message) &&
    Object.keys(error).toSorted().join() === 'code,message,param,type' &&
    /^application\/json/.test(String(headers['content-type'])) &&
    (status === 503 ? headers['retry-after'] : headers['www-authenticate']) !== undefined
  return whole ? `${status} ${error.code}` : `not a whole denial: ${status} ${text}`
}

/**
 * The content of an allowed response, which must be complete: the token, and every header of the mapping with its
 * claim.
 */
export function admitted({ status, headers, text }: Answer): { jwt: string; claims: Claims } {
  const [, jwt = ''] = /^Bearer (\S+)$/.exec(String(headers.authorization)) ?? []
  if (status !== 200 || text !== '' || jwt === '') throw new Error(`not a whole allow: ${status} ${text}`)
  const claims: Claims = JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString())
  for (const { claim, header } of CLAIM_HEADERS) {
    if (!claims[claim] || headers[header] !== claims[claim]) throw new Error(`${header} is not ${claim}`)
  }
  return { jwt, claims }
}

// biome-ignore lint/suspicious/noExplicitAny: claims of every shape are read
export type Claims = Record<string, any>

/** A token for the key, as POST /oauth/token gives it. */
export async function tokenFor(
  mintmark: TestService,
  secret: string,
  more: Record<string, string> = {},
): Promise<string> {
  const answer = await mintmark.token({
    grant_type: 'client_credentials',
    client_secret: secret,
    ...more,
  })
  if (answer.status !== 200) throw new Error(`no token: ${answer.text}`)
  return answer.body.access_token
}
