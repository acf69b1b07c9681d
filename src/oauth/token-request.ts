import { isUtf8 } from 'node:buffer'
import type { IncomingHttpHeaders } from 'node:http'
import type { Credential } from '../authentication/authenticator.ts'
import type { AssertionUse, PresentedAssertion } from '../authentication/workloads.ts'
import { formDecode, mediaType, parseForm as pairsOf } from '../http/body.ts'
import {
  JWT_BEARER,
  parseBearerAssertion,
  parseClientAssertion,
  parseSubjectToken,
  TOKEN_EXCHANGE,
} from './assertion-request.ts'
import { OAuthError } from './oauth-error.ts'

/** RFC 6749 §2.3.1: how the client sent its credential; or how its assertion is used. */
export type AuthenticationMethod = 'client_secret_basic' | 'client_secret_post' | AssertionUse

export const GRANT_TYPES = ['client_credentials', TOKEN_EXCHANGE, JWT_BEARER] as const
type GrantType = (typeof GRANT_TYPES)[number]

/** A parsed request to the token endpoint: no other code reads the form. */
export interface TokenRequest {
  grantType: GrantType
  method: AuthenticationMethod
  credential: Credential | PresentedAssertion
  /** Undefined when no scope was requested. */
  scopes: string[] | undefined
  audience: string | undefined
  /** RFC 8707 §2: absolute URIs without a fragment, as sent. */
  resources: string[]
}

/** May be repeated (RFC 8707 §2); other parameters may not (RFC 6749 §3.2). */
const REPEATABLE = 'resource'
/** Those that are read here and may be given once. */
const PARAMETERS: readonly string[] = [
  'grant_type',
  'client_id',
  'client_secret',
  'client_assertion',
  'client_assertion_type',
  'subject_token',
  'subject_token_type',
  'assertion',
  'scope',
  'audience',
]

/** Parameters with their values, never ''. */
type Form = ReadonlyMap<string, string | undefined>

const FORM = 'application/x-www-form-urlencoded'
/** Of a percent-encoded body, which is ASCII, all of these are the same. What is not encoded must be UTF-8. */
const FORM_CHARSET = /^(utf-?8|us-ascii|iso-8859-1)$/
/** RFC 6749 Appendix A.4. */
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$/

/** @throws {OAuthError} @throws {RequestError} for a body that is not a form. */
export function parseTokenRequest(req: {
  url: string
  headers: IncomingHttpHeaders
  body: Buffer
}): TokenRequest {
  const { form, resources } = parseForm(req)
  const grantType = parseGrantType(form.get('grant_type'))
  const { method, credential } = parsePresented(grantType, req.headers.authorization, form)
  return {
    grantType,
    method,
    credential,
    scopes: parseScope(form.get('scope')),
    audience: form.get('audience'),
    resources: resources.map(parseResource),
  }
}

/** The parameters of a form. @throws {OAuthError} @throws {RequestError} for a body that is not a form. */
export function parseForm(req: { url: string; headers: IncomingHttpHeaders; body: Buffer }): {
  form: Form
  resources: string[]
} {
  if (req.url.includes('?')) {
    // RFC 6749 §2.3.1: credentials must not be in the request URI, where they would be logged.
    throw new OAuthError('invalid_request', 'Parameters in the request URI. Send them in the body.')
  }
  if (mediaType(req.headers['content-type'], FORM_CHARSET) !== FORM) {
    throw new OAuthError('invalid_request', `Unsupported Content-Type. Send ${FORM}, in UTF-8.`)
  }
  return singleValues(pairsOf(req.body))
}

/** RFC 6749 §3.2: parameters without a value are treated as if they were omitted; none may be repeated. */
function singleValues(pairs: ReturnType<typeof pairsOf>): { form: Form; resources: string[] } {
  const given = new Map<string, string | undefined>()
  const resources: string[] = []
  for (const [name, value] of pairs) {
    if (name === REPEATABLE) {
      if (value !== '') resources.push(value)
    } else if (given.has(name)) {
      throw duplicate(name)
    } else given.set(name, value === '' ? undefined : value)
  }
  return { form: given, resources }
}

/** Names a parameter of the specifications; any other name is input, which is never echoed. */
function duplicate(name: string): OAuthError {
  const which = PARAMETERS.includes(name) ? `: ${name}` : ''
  return new OAuthError('invalid_request', `Duplicate parameter${which}. Send it once.`)
}

function parseGrantType(given: string | undefined): GrantType {
  if (given === undefined)
    throw new OAuthError('invalid_request', 'Missing parameter: grant_type. Send client_credentials.')
  const known = GRANT_TYPES.find(type => type === given)
  if (known) return known
  throw new OAuthError('unsupported_grant_type', `Unsupported grant_type. Send ${GRANT_TYPES.join(' or ')}.`)
}

function parsePresented(
  grantType: GrantType,
  authorization: string | undefined,
  form: Form,
): { method: AuthenticationMethod; credential: Credential | PresentedAssertion } {
  if (grantType === 'client_credentials') return parseCredential(authorization, form)
  // The assertion is the only credential: a second one would be a client whose rights are not looked at.
  const others = ['client_secret', 'client_assertion', 'client_assertion_type'].some(
    name => form.get(name) !== undefined,
  )
  if (authorization !== undefined || others)
    throw new OAuthError(
      'invalid_request',
      'More than one credential. With this grant_type, send the assertion only, and client_id if it is ambiguous.',
    )
  const credential = grantType === TOKEN_EXCHANGE ? parseSubjectToken(form) : parseBearerAssertion(form)
  return { method: credential.use, credential }
}

/** The credential of a client: a secret, or an assertion (RFC 7521 §4.2). @throws {OAuthError} */
export function parseCredential(
  authorization: string | undefined,
  form: Form,
): { method: AuthenticationMethod; credential: Credential | PresentedAssertion } {
  const clientId = form.get('client_id')
  // Keys are often read from files that end with a newline; no key contains one.
  const secret = form.get('client_secret')?.replace(/\r?\n$/, '')
  const assertion = form.get('client_assertion') ?? form.get('client_assertion_type')
  const ways = [authorization, secret, assertion].filter(way => way !== undefined)
  if (ways.length > 1) {
    // RFC 6749 §2.3: more than one way to authenticate must not be used in a request.
    throw new OAuthError(
      'invalid_request',
      'More than one credential. Use either the Authorization header or the body.',
    )
  }
  if (authorization !== undefined) {
    const basic = parseBasic(authorization)
    // As in the body, the client_id may be missing.
    const credential = basic.clientId === '' ? { ...basic, clientId } : basic
    if (clientId !== undefined && clientId !== credential.clientId) {
      throw new OAuthError(
        'invalid_request',
        'The client_id in the body differs from the one in the Authorization header. Send the same, or only one.',
      )
    }
    return { method: 'client_secret_basic', credential }
  }
  if (assertion !== undefined) {
    const credential = parseClientAssertion(form)
    return { method: credential.use, credential }
  }
  if (secret !== undefined) return { method: 'client_secret_post', credential: { clientId, secret } }
  throw new OAuthError(
    'invalid_client',
    'Missing API key. Send it with client_secret_basic or client_secret_post.',
    {
      status: 401,
    },
  )
}

/** RFC 7617 over RFC 6749 §2.3.1: base64, then the first colon splits, then each side is form-decoded. */
function parseBasic(authorization: string): Credential {
  const [, encoded] = /^basic +([A-Za-z0-9+/]+={0,2})$/i.exec(authorization) ?? []
  const text = encoded === undefined ? undefined : strictBase64(encoded)
  const colon = text?.indexOf(':') ?? -1
  if (text === undefined || colon < 0) throw malformedHeader()
  const clientId = formDecode(text.slice(0, colon))
  const secret = formDecode(text.slice(colon + 1))
  if (clientId === undefined || secret === undefined) throw malformedHeader()
  return { clientId, secret }
}

function strictBase64(encoded: string): string | undefined {
  const bytes = Buffer.from(encoded, 'base64')
  if (bytes.toString('base64') !== encoded) return undefined
  return isUtf8(bytes) ? bytes.toString('utf8') : undefined
}

const malformedHeader = () =>
  new OAuthError(
    'invalid_request',
    'Invalid Authorization header. Send Basic with base64 of client_id:client_secret, each form-encoded.',
  )

function parseScope(given: string | undefined): string[] | undefined {
  if (given === undefined) return undefined
  if (!SCOPE.test(given))
    throw new OAuthError('invalid_scope', 'Invalid scope. Send scope names separated by single spaces.')
  return [...new Set(given.split(' '))]
}

/** RFC 8707 §2: an absolute URI without a fragment. */
function parseResource(given: string): string {
  if (/^[A-Za-z][A-Za-z0-9+.-]*:[^\s#]+$/.test(given) && URL.canParse(given)) return given
  throw new OAuthError('invalid_target', 'Invalid resource. Send an absolute URI without a fragment.')
}
