import type { PresentedAssertion } from '../authentication/workloads.ts'
import { OAuthError } from './oauth-error.ts'

/** The grants that exchange a token of an identity provider, by their names of RFC 8693 §2.1 and RFC 7523 §2.1. */
export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
export const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'

/** RFC 8693 §3. */
export const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token'
const JWT = 'urn:ietf:params:oauth:token-type:jwt'
const SUBJECT_TYPES: Readonly<Record<string, PresentedAssertion['use']>> = {
  [JWT]: 'subject_token',
  'urn:ietf:params:oauth:token-type:id_token': 'id_token',
}

/** RFC 7523 §2.2; draft-ietf-oauth-spiffe-client-auth. */
const ASSERTION_TYPES: Readonly<Record<string, PresentedAssertion['use']>> = {
  'urn:ietf:params:oauth:client-assertion-type:jwt-bearer': 'private_key_jwt',
  'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe': 'spiffe_jwt',
}

type Form = ReadonlyMap<string, string | undefined>

/** RFC 8693 §2.1. @throws {OAuthError} */
export function parseSubjectToken(form: Form): PresentedAssertion {
  const assertion = required(form, 'subject_token')
  const use = SUBJECT_TYPES[required(form, 'subject_token_type')]
  if (!use)
    throw new OAuthError(
      'invalid_request',
      `Unsupported subject_token_type. Send ${Object.keys(SUBJECT_TYPES).join(' or ')}.`,
    )
  // RFC 8693 §2.1: one without the other is an error, and there is no delegation here.
  if (form.get('actor_token') !== undefined || form.get('actor_token_type') !== undefined)
    throw new OAuthError('invalid_request', 'Unsupported parameter: actor_token. Omit it.')
  const requested = form.get('requested_token_type')
  if (requested !== undefined && requested !== ACCESS_TOKEN && requested !== JWT)
    throw new OAuthError(
      'invalid_request',
      `Unsupported requested_token_type. Send ${ACCESS_TOKEN}, or omit it.`,
    )
  return { assertion, use, clientId: form.get('client_id') }
}

/** RFC 7523 §2.1. @throws {OAuthError} */
export const parseBearerAssertion = (form: Form): PresentedAssertion => ({
  assertion: required(form, 'assertion'),
  use: 'assertion',
  clientId: form.get('client_id'),
})

/** RFC 7521 §4.2. @throws {OAuthError} */
export function parseClientAssertion(form: Form): PresentedAssertion {
  const assertion = required(form, 'client_assertion')
  const use = ASSERTION_TYPES[required(form, 'client_assertion_type')]
  // RFC 6749 §5.2: an unsupported authentication method.
  if (!use)
    throw new OAuthError(
      'invalid_client',
      `Unsupported client_assertion_type. Send ${Object.keys(ASSERTION_TYPES).join(' or ')}.`,
      { status: 401 },
    )
  return { assertion, use, clientId: form.get('client_id') }
}

function required(form: Form, name: string): string {
  const value = form.get(name)
  if (value === undefined) throw new OAuthError('invalid_request', `Missing parameter: ${name}.`)
  return value
}
