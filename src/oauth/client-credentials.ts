import type { Caller } from '../authentication/authenticator.ts'
import { OAuthError } from './oauth-error.ts'
import type { TokenRequest } from './token-request.ts'

/** What a token will be issued for. */
export interface Grant {
  scopes: string[]
  audiences: string[]
}

/** The caller requested more than it is granted. */
export class NotGranted extends OAuthError {
  readonly caller: Caller
  constructor(caller: Caller, code: 'invalid_scope' | 'invalid_target', description: string) {
    super(code, description)
    this.caller = caller
  }
}

/**
 * RFC 6749 §4.4: checks the request against the caller's rights. Defaults: all its scopes, and its default audience. A
 * request for more than is granted is rejected, never reduced silently.
 * @throws {NotGranted}
 */
export function authorizeClientCredentials(caller: Caller, request: TokenRequest): Grant {
  return { scopes: grantedScopes(caller, request), audiences: grantedAudiences(caller, request) }
}

function grantedScopes(caller: Caller, request: TokenRequest): string[] {
  const held = caller.rights.scopes
  const granted = request.scopes ?? held
  if (granted.length === 0)
    throw new NotGranted(
      caller,
      'invalid_scope',
      'This client has no scope. Contact the operator of this service.',
    )
  if (granted.every(scope => held.includes(scope))) return [...granted]
  throw new NotGranted(
    caller,
    'invalid_scope',
    'A requested scope is not granted to this client. Request fewer scopes, or omit scope.',
  )
}

/** RFC 8707 §2: each resource names an audience; `audience` names one directly. */
function grantedAudiences(caller: Caller, { audience, resources }: TokenRequest): string[] {
  const held = caller.rights.audiences
  const asked = audience === undefined ? resources : [audience, ...resources]
  const granted = asked.length > 0 ? [...new Set(asked)] : held.slice(0, 1)
  if (granted.length === 0)
    throw new NotGranted(
      caller,
      'invalid_target',
      'This client has no audience. Contact the operator of this service.',
    )
  if (granted.every(target => held.includes(target))) return granted
  throw new NotGranted(
    caller,
    'invalid_target',
    'A requested audience is not granted to this client. Request another one, or omit audience and resource.',
  )
}
