import { mediaType, parseJson } from '../http/body.ts'
import { JWT_BEARER } from './assertion-request.ts'
import { OAuthError } from './oauth-error.ts'
import type { TokenRequest } from './token-request.ts'

/**
 * The exchange as Anthropic's SDK sends it: JSON, with `federation_rule_id` for the credential, `service_account_id` for
 * the key and `organization_id` for the tenant.
 * @throws {OAuthError} @throws {RequestError} for a body that is not JSON.
 */
export function parseSdkRequest(req: {
  headers: { 'content-type'?: string | undefined; authorization?: string | undefined }
  body: Buffer
}): TokenRequest {
  if (mediaType(req.headers['content-type']) !== 'application/json')
    throw new OAuthError('invalid_request', 'Unsupported Content-Type. Send application/json, in UTF-8.')
  const body = parseJson(req.body)
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new OAuthError('invalid_request', 'The body must be a JSON object.')
  if (req.headers.authorization !== undefined)
    throw new OAuthError('invalid_request', 'More than one credential. Omit the Authorization header.')
  const text = (name: string): string | undefined => {
    const value: unknown = Object.hasOwn(body, name) ? (body as Record<string, unknown>)[name] : undefined
    if (value === undefined || value === null || value === '') return undefined
    if (typeof value !== 'string') throw new OAuthError('invalid_request', `${name} must be text.`)
    return value
  }
  if (text('grant_type') !== JWT_BEARER)
    throw new OAuthError('unsupported_grant_type', `Unsupported grant_type. Send ${JWT_BEARER}.`)
  const assertion = text('assertion')
  if (assertion === undefined) throw new OAuthError('invalid_request', 'Missing parameter: assertion.')
  const credentialId = text('federation_rule_id')
  const keyId = text('service_account_id')
  const tenantId = text('organization_id')
  const expected = {
    ...(credentialId !== undefined && { credentialId }),
    ...(keyId !== undefined && { keyId }),
    ...(tenantId !== undefined && { tenantId }),
  }
  return {
    grantType: JWT_BEARER,
    method: 'assertion',
    credential: { assertion, use: 'assertion', clientId: keyId ?? tenantId, expected },
    scopes: undefined,
    audience: undefined,
    resources: [],
  }
}
