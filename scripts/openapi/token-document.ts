import { JWT_BEARER } from '../../src/oauth/assertion-request.ts'
import { PATHS } from '../../src/oauth/metadata.ts'
import type { OAuthErrorCode } from '../../src/oauth/oauth-error.ts'
import { GRANT_TYPES } from '../../src/oauth/token-request.ts'
import { packageVersion } from '../../src/system/package-version.ts'
import type { AccessTokenClaims } from '../../src/tokens/claims.ts'

// The OpenAPI document of the public API: POST /oauth/token and the documents that verifiers read.
// test/oauth/openapi.test.ts compares it with the answers of a running service.

const CLAIMS: Record<keyof AccessTokenClaims, string> = {
  iss: 'Issuer URL of this service.',
  sub: 'Id of the API key (`key_…`).',
  client_id: 'Same as `sub`.',
  aud: 'Audience: a string, or a list if the request named several.',
  iat: 'Time of issue, in seconds since 1970.',
  exp: 'Time of expiry, in seconds since 1970.',
  jti: 'Id of the token.',
  scope: 'Granted scopes, separated by spaces.',
  tenant: 'Id of the tenant.',
  workload: 'Distinguishes the workloads of one key, such as pods. Only in tokens of workload identities.',
  key_epoch: 'Changes when all issued tokens of the key are revoked.',
  tenant_epoch: 'Changes when all issued tokens of the tenant are revoked.',
  tier: 'Tier of the key.',
  priority: 'Priority of the tier as a decimal integer in a string. vLLM schedules lower numbers sooner.',
  models: 'Base models that the key may use.',
  adapters: 'LoRA adapters that the key may use.',
  adapter_list: 'The adapters separated by spaces, or `none`.',
  limits:
    'Limits for the rate limits of gateways, as an object: `tenant` (all keys of the tenant together) and `key`, each with `requests`, `requests_daily`, `tokens` and `tokens_daily` of the form `{"requests_per_unit":600,"unit":"MINUTE"}` (or `DAY`). Only what is set; without limits the claim is absent.',
}

const DESCRIPTION = `Exchanges an API key, or a token of an identity provider, for a short-lived token (JWT), and publishes the public keys that verify tokens.

### Authentication

\`POST ${PATHS.token}\` is the OAuth 2.0 token endpoint (RFC 6749). Send the API key (\`mmk_…\`) as the client secret, in one of two ways:

- \`client_secret_post\`: the form parameter \`client_secret\`. No \`client_id\` is needed.
- \`client_secret_basic\`: \`Authorization: Basic base64(client_id:client_secret)\`. The \`client_id\` is the id of the API key (\`key_…\`) or of its tenant.

A client that was imported from another system sends its secret from that system in one of these ways, with its \`client_id\` if it has one.

\`POST ${PATHS.revoke}\` takes the API key in the same ways, or a client assertion. \`POST ${PATHS.introspect}\` takes an introspection token (\`mmi_…\`).

The JWKS and the metadata need no authentication.

~~~sh
curl "$MINTMARK_PUBLIC_URL${PATHS.token}" -d grant_type=client_credentials --data-urlencode client_secret@api-key
~~~

### Claims of a token

| Claim | Value |
|---|---|
${Object.entries(CLAIMS)
  .map(([name, text]) => `| \`${name}\` | ${text} |`)
  .join('\n')}
`

const JSON_TYPE = 'application/json'
const ref = (kind: 'headers' | 'responses' | 'schemas' | 'parameters', name: string) => ({
  $ref: `#/components/${kind}/${name}`,
})
const headers = (...names: (keyof typeof HEADERS)[]) =>
  Object.fromEntries(names.map(name => [HEADERS[name].name, ref('headers', `Token${name}`)]))

const text = { type: 'string' }
const integer = (description: string) => ({ type: 'integer', description })
const string = (description: string, more: object = {}) => ({ type: 'string', description, ...more })
const names = (description: string) => ({ type: 'array', items: text, description })

const HEADERS = {
  RequestId: {
    name: 'X-Request-Id',
    description: 'Id of this request. The access log has it too.',
    required: true,
    schema: text,
  },
  NoStore: {
    name: 'Cache-Control',
    description: 'Always `no-store`: the response must not be cached.',
    required: true,
    schema: { type: 'string', const: 'no-store' },
  },
  Public: {
    name: 'Cache-Control',
    description: '`public`, and `max-age`: how many seconds the document may be cached.',
    required: true,
    schema: text,
  },
  AnyOrigin: {
    name: 'Access-Control-Allow-Origin',
    description: 'Always `*`: pages of any origin may read the document.',
    required: true,
    schema: { type: 'string', const: '*' },
  },
  ETag: {
    name: 'ETag',
    description: 'Version of the document, for `If-None-Match`.',
    required: true,
    schema: text,
  },
  LastModified: {
    name: 'Last-Modified',
    description:
      'Time of the last change of the set of keys. A response with an earlier time than another response is from a replica that has not seen the last change.',
    schema: text,
  },
  RetryAfter: {
    name: 'Retry-After',
    description: 'Seconds to wait before the next attempt.',
    required: true,
    schema: { type: 'integer', minimum: 0 },
  },
  Challenge: {
    name: 'WWW-Authenticate',
    description:
      '`Basic`, if the request had a Basic `Authorization` header with a rejected credential. An introspection without a Basic header gets `Bearer`.',
    schema: text,
  },
} as const

const error = (
  description: string,
  codes: readonly OAuthErrorCode[],
  error_description: string,
  ...more: (keyof typeof HEADERS)[]
) => ({
  description: `${description} \`error\`: ${codes.map(code => `\`${code}\``).join(', ')}.`,
  headers: headers('RequestId', 'NoStore', ...more),
  content: {
    [JSON_TYPE]: { schema: ref('schemas', 'TokenError'), example: { error: codes[0], error_description } },
  },
})

const RESPONSES = {
  TokenBadRequest: error(
    'The request is malformed.',
    ['invalid_request'],
    'Duplicate header: authorization. Send it once.',
  ),
  TokenInvalid: error(
    'The request is invalid, the API key does not have the requested rights, or the tenant or key is not active.',
    [
      'invalid_request',
      'invalid_grant',
      'unsupported_grant_type',
      'invalid_scope',
      'invalid_target',
      'unauthorized_client',
    ],
    'Duplicate parameter: scope. Send it once.',
  ),
  TokenUnauthenticated: error(
    'The API key is missing or invalid. Malformed, unknown, expired and revoked keys get the same response.',
    ['invalid_client'],
    'Invalid API key.',
    'Challenge',
  ),
  TokenTooLarge: error(
    'The request body is too large.',
    ['invalid_request'],
    'The request body is too large.',
  ),
  TokenCompressed: error(
    'The request body is compressed.',
    ['invalid_request'],
    'The request body must not be compressed.',
  ),
  TokenRateLimited: error(
    'Too many invalid API keys, identity tokens or introspection tokens came from this address, or the client revoked too many tokens. (The gateway check returns 403 with the code `too_many_failures` instead.)',
    ['slow_down'],
    'Too many invalid API keys from this address. Retry later.',
    'RetryAfter',
  ),
  TokenFailed: error(
    'Unexpected error of the service. Its log has the cause.',
    ['server_error'],
    'Internal error.',
  ),
  TokenUnavailable: error(
    'The service is temporarily unavailable. Retry with the same API key.',
    ['temporarily_unavailable'],
    'The token service is temporarily unavailable. Retry.',
    'RetryAfter',
  ),
  NotModified: {
    description: 'The document still has the version named in `If-None-Match`.',
    headers: headers('RequestId', 'Public', 'AnyOrigin', 'ETag', 'LastModified'),
  },
}

const SCHEMAS = {
  TokenRequest: {
    description: 'Parameters of an exchange. Send each parameter at most once, except `resource`.',
    type: 'object',
    required: ['grant_type'],
    properties: {
      grant_type: {
        type: 'string',
        enum: GRANT_TYPES,
        description:
          '`client_credentials` for an API key or a client assertion; the others for a token of an identity provider (RFC 8693, RFC 7523).',
      },
      subject_token: string('With token exchange: the token of the identity provider.'),
      subject_token_type: string(
        'With token exchange: `urn:ietf:params:oauth:token-type:jwt`, or `urn:ietf:params:oauth:token-type:id_token` for CI jobs.',
      ),
      assertion: string('With jwt-bearer: the token of the identity provider.'),
      client_assertion: string(
        'With client_credentials: a JWT that the client signed, or a SPIFFE identity.',
      ),
      client_assertion_type: string(
        '`urn:ietf:params:oauth:client-assertion-type:jwt-bearer` (private_key_jwt), or `urn:ietf:params:oauth:client-assertion-type:jwt-spiffe`.',
      ),
      client_secret: string('The API key, if it is not sent in the `Authorization` header.'),
      client_id: string(
        'Id of the API key or of its tenant. Required only for an imported client that has a client id from the other system (it sends that id), and for an assertion that several keys accept.',
      ),
      scope: string('Requested scopes, separated by spaces. Default: all scopes of the API key.'),
      audience: string('Requested audience. Default: the first audience of the API key.'),
      resource: names(
        'Requested audiences that are absolute URIs (RFC 8707). To request several audiences, repeat the parameter.',
      ),
    },
  },
  SdkTokenRequest: {
    description: 'An exchange as SDKs of Anthropic send it.',
    type: 'object',
    required: ['grant_type', 'assertion'],
    properties: {
      grant_type: { type: 'string', const: JWT_BEARER, description: 'Always the grant of RFC 7523.' },
      assertion: string('The token of the identity provider.'),
      federation_rule_id: string(
        'Id of the credential of the key (`crd_…`): the object that names which assertions are accepted for the key.',
      ),
      service_account_id: string('Id of the API key (`key_…`).'),
      organization_id: string('Id of the tenant.'),
    },
  },
  TokenResponse: {
    description: 'A token (RFC 6749 §5.1).',
    type: 'object',
    required: ['access_token', 'token_type', 'expires_in', 'scope'],
    properties: {
      access_token: string('The token: a JWT of type `at+jwt` (RFC 9068).', {
        pattern: '^[\\w-]+\\.[\\w-]+\\.[\\w-]+$',
      }),
      token_type: { type: 'string', const: 'Bearer', description: 'Always `Bearer`.' },
      expires_in: integer('Lifetime in seconds.'),
      scope: string('Granted scopes, separated by spaces.'),
      issued_token_type: string('With token exchange: `urn:ietf:params:oauth:token-type:access_token`.'),
    },
  },
  TokenError: {
    description: 'An error (RFC 6749 §5.2).',
    type: 'object',
    required: ['error', 'error_description'],
    properties: {
      error: string('Machine-readable error code.'),
      error_description: string('What is wrong and what to do, for people. The text may change.'),
    },
  },
  TokenQuestion: {
    description: 'A token, and the credential of the caller if it is not sent in the `Authorization` header.',
    type: 'object',
    required: ['token'],
    properties: {
      token: string('The token.'),
      token_type_hint: string('Ignored: there is one type of token.'),
      client_secret: string('The API key, or for an introspection the introspection token (`mmi_…`).'),
      client_id: string(
        'Id of the API key or of its tenant, or id of the introspection token (`adm_…`). Optional.',
      ),
    },
  },
  Introspection: {
    description:
      'State of a token (RFC 7662 §2.2). Only an active token has more members than `active`: its claims.',
    type: 'object',
    required: ['active'],
    properties: {
      active: {
        type: 'boolean',
        description:
          'Whether the token is good at this moment, for one of the audiences of the introspection token.',
      },
      token_type: { type: 'string', const: 'Bearer', description: 'Always `Bearer`.' },
      ...Object.fromEntries(Object.entries(CLAIMS).map(([name, description]) => [name, { description }])),
    },
  },
  JWKSet: {
    description: 'Public keys that verify tokens (RFC 7517).',
    type: 'object',
    required: ['keys'],
    properties: {
      keys: {
        type: 'array',
        items: ref('schemas', 'JWK'),
        description:
          'Published signing keys: keys that sign now, keys that will sign next, and keys whose tokens may still be valid.',
      },
    },
  },
  JWK: {
    description:
      'A public key (RFC 7517). Which of `crv`, `x`, `y`, `n` and `e` are present depends on `kty`.',
    type: 'object',
    required: ['kty', 'kid', 'alg', 'use'],
    properties: {
      kty: string('Key type.'),
      kid: string('Key id, as in the header of a token: the RFC 7638 SHA-256 thumbprint.'),
      alg: string('Signing algorithm.'),
      use: { type: 'string', const: 'sig', description: 'Always `sig`.' },
      crv: string('Curve of an EC or OKP key.'),
      x: string('X coordinate of an EC key, or public part of an OKP key.'),
      y: string('Y coordinate of an EC key.'),
      n: string('Modulus of an RSA key.'),
      e: string('Exponent of an RSA key.'),
    },
  },
  ServerMetadata: {
    description: 'Metadata of the service (RFC 8414, OpenID Connect Discovery).',
    type: 'object',
    required: ['issuer', 'token_endpoint', 'jwks_uri', 'grant_types_supported'],
    properties: {
      issuer: string('Issuer URL: the `iss` of all tokens.'),
      token_endpoint: string('Address of the token endpoint.'),
      jwks_uri: string('Address of the JWK Set.'),
      grant_types_supported: names('Supported grant types.'),
      token_endpoint_auth_methods_supported: names('Supported ways to authenticate.'),
      token_endpoint_auth_signing_alg_values_supported: names('Signing algorithms of client assertions.'),
      response_types_supported: names('Always `none`: there is no authorization endpoint.'),
      revocation_endpoint: string('Address of the revocation endpoint (RFC 7009).'),
      revocation_endpoint_auth_methods_supported: names('Supported ways of a client to authenticate there.'),
      revocation_endpoint_auth_signing_alg_values_supported: names(
        'Signature algorithms of client assertions there.',
      ),
      introspection_endpoint: string('Address of the introspection endpoint (RFC 7662).'),
      introspection_endpoint_auth_methods_supported: names('Supported ways to send the introspection token.'),
      subject_types_supported: names('Always `public`: `sub` is the same for every audience.'),
      id_token_signing_alg_values_supported: names('Signing algorithms of tokens.'),
    },
  },
}

const EXCHANGED = {
  access_token: 'eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiJrZXlfN0hxMmtkOVh3UDNtWnQ1QiJ9.c2ln',
  token_type: 'Bearer',
  expires_in: 300,
  scope: 'inference',
}

const API_KEY = 'mmk_7Hq2kd9XwP3mZt5B_0000000000000000000000000000000000000000000000000'

/** The body of a request about one token. */
const question = (example: object) => ({
  required: true,
  content: { 'application/x-www-form-urlencoded': { schema: ref('schemas', 'TokenQuestion'), example } },
})

const QUESTION_ERRORS = {
  400: ref('responses', 'TokenInvalid'),
  401: ref('responses', 'TokenUnauthenticated'),
  413: ref('responses', 'TokenTooLarge'),
  415: ref('responses', 'TokenCompressed'),
  429: ref('responses', 'TokenRateLimited'),
  500: ref('responses', 'TokenFailed'),
  503: ref('responses', 'TokenUnavailable'),
}

const published = (description: string, schema: object, ...more: (keyof typeof HEADERS)[]) => ({
  description,
  headers: headers('RequestId', 'Public', 'AnyOrigin', ...more),
  content: { [JSON_TYPE]: { schema } },
})

const metadata = (operationId: string, standard: string) => ({
  get: {
    operationId,
    tags: ['discovery'],
    summary: `Get the metadata (${standard})`,
    description: 'Issuer, token endpoint and JWK Set, for clients and verifiers that configure themselves.',
    security: [],
    responses: {
      200: published('The metadata.', ref('schemas', 'ServerMetadata')),
      400: ref('responses', 'TokenBadRequest'),
      503: ref('responses', 'TokenUnavailable'),
    },
  },
})

/** The OpenAPI 3.1 document of the public listener. */
export const tokenDocument = () => ({
  openapi: '3.1.1',
  info: { title: 'Mintmark token API', version: packageVersion(), description: DESCRIPTION },
  servers: [{ url: '/', description: 'The public listener, by default on port 8080.' }],
  tags: [
    { name: 'token', description: 'Exchange of API keys and identity tokens for tokens.' },
    { name: 'discovery', description: 'Documents for verifiers and clients.' },
  ],
  paths: {
    [PATHS.token]: {
      post: {
        operationId: 'exchangeKey',
        tags: ['token'],
        summary: 'Exchange an API key for a token',
        description:
          'Parameters are in the body; a query is rejected. If the API key does not have a requested scope or audience, the request is rejected: Mintmark does not issue a token with fewer rights than requested.',
        security: [{ clientSecretBasic: [] }, {}],
        requestBody: {
          required: true,
          content: {
            'application/x-www-form-urlencoded': {
              schema: ref('schemas', 'TokenRequest'),
              example: {
                grant_type: 'client_credentials',
                client_secret: API_KEY,
                scope: 'inference',
              },
            },
          },
        },
        responses: {
          200: {
            description: 'The token.',
            headers: headers('RequestId', 'NoStore'),
            content: { [JSON_TYPE]: { schema: ref('schemas', 'TokenResponse'), example: EXCHANGED } },
          },
          400: ref('responses', 'TokenInvalid'),
          401: ref('responses', 'TokenUnauthenticated'),
          413: ref('responses', 'TokenTooLarge'),
          415: ref('responses', 'TokenCompressed'),
          429: ref('responses', 'TokenRateLimited'),
          500: ref('responses', 'TokenFailed'),
          503: ref('responses', 'TokenUnavailable'),
        },
      },
    },
    [PATHS.sdkToken]: {
      post: {
        operationId: 'exchangeAssertion',
        tags: ['token'],
        summary: 'Exchange a token of an identity provider, in JSON',
        description:
          'The same exchange as at the token endpoint. `federation_rule_id`, `service_account_id` and `organization_id` are optional. If sent, they must be the ids of the credential, the key and the tenant that the assertion matches.',
        security: [],
        requestBody: {
          required: true,
          content: {
            [JSON_TYPE]: {
              schema: ref('schemas', 'SdkTokenRequest'),
              example: {
                grant_type: JWT_BEARER,
                assertion: 'eyJhbGciOiJSUzI1NiJ9.e30.c2ln',
                organization_id: 'acme',
              },
            },
          },
        },
        responses: {
          200: {
            description: 'The token.',
            headers: headers('RequestId', 'NoStore'),
            content: { [JSON_TYPE]: { schema: ref('schemas', 'TokenResponse'), example: EXCHANGED } },
          },
          400: ref('responses', 'TokenInvalid'),
          413: ref('responses', 'TokenTooLarge'),
          415: ref('responses', 'TokenCompressed'),
          429: ref('responses', 'TokenRateLimited'),
          500: ref('responses', 'TokenFailed'),
          503: ref('responses', 'TokenUnavailable'),
        },
      },
    },
    [PATHS.revoke]: {
      post: {
        operationId: 'revokeToken',
        tags: ['token'],
        summary: 'Revoke a token',
        description:
          'A client revokes one of its own tokens (RFC 7009). It authenticates as for an exchange. Every other string gets the same response: a token of another client, an expired token, or a string that is no token. An API key can revoke 100 tokens per minute and replica; further ones get 429. At most 100 unexpired tokens of a key, and 10,000 of a tenant, can be revoked one by one; further ones get 503. Then an administrator must revoke all tokens of the key.',
        security: [{ clientSecretBasic: [] }, {}],
        requestBody: question({ token: EXCHANGED.access_token, client_secret: API_KEY }),
        responses: {
          200: {
            description:
              'The token is not valid any more, was already not valid, or belongs to another client. The body is an empty object.',
            headers: headers('RequestId', 'NoStore'),
            content: { [JSON_TYPE]: { schema: { type: 'object' }, example: {} } },
          },
          ...QUESTION_ERRORS,
        },
      },
    },
    [PATHS.introspect]: {
      post: {
        operationId: 'introspectToken',
        tags: ['token'],
        summary: 'Introspect a token',
        description:
          'Returns whether a token is good at this moment (RFC 7662), for one of the audiences of the introspection token. The caller needs an introspection token: an admin token with the role introspector. Send the introspection token as `Authorization: Bearer mmi_…`, or as the client secret, with its id (`adm_…`) as the client id.',
        security: [{ introspectionToken: [] }, { clientSecretBasic: [] }, {}],
        requestBody: question({ token: EXCHANGED.access_token }),
        responses: {
          200: {
            description: 'State of the token.',
            headers: headers('RequestId', 'NoStore'),
            content: { [JSON_TYPE]: { schema: ref('schemas', 'Introspection'), example: { active: false } } },
          },
          ...QUESTION_ERRORS,
        },
      },
    },
    [PATHS.jwks]: {
      get: {
        operationId: 'getJwks',
        tags: ['discovery'],
        summary: 'Get the JWK Set',
        description: 'Public keys that verify tokens. A new signing key is published before it signs.',
        security: [],
        parameters: [
          {
            name: 'If-None-Match',
            in: 'header',
            description:
              '`ETag` of your cached document. The response is 304 if the document has not changed.',
            schema: text,
          },
        ],
        responses: {
          200: published('The JWK Set.', ref('schemas', 'JWKSet'), 'ETag', 'LastModified'),
          304: ref('responses', 'NotModified'),
          400: ref('responses', 'TokenBadRequest'),
          503: ref('responses', 'TokenUnavailable'),
        },
      },
    },
    [PATHS.pem]: {
      get: {
        operationId: 'getPublicKey',
        tags: ['discovery'],
        summary: 'Get a public key in PEM',
        description: 'For verifiers that cannot read a JWK Set.',
        security: [],
        parameters: [
          {
            name: 'kid',
            in: 'path',
            required: true,
            description: 'Key id of a published signing key.',
            schema: text,
            example: 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs',
          },
        ],
        responses: {
          200: {
            description: 'The public key as SubjectPublicKeyInfo.',
            headers: headers('RequestId', 'Public', 'AnyOrigin'),
            content: { 'application/x-pem-file': { schema: text } },
          },
          400: ref('responses', 'TokenBadRequest'),
          404: error(
            'No published signing key has this key id.',
            ['invalid_request'],
            'No published key has this kid.',
          ),
          503: ref('responses', 'TokenUnavailable'),
        },
      },
    },
    [PATHS.oauth]: metadata('getServerMetadata', 'RFC 8414'),
    [PATHS.openid]: metadata('getOpenIdConfiguration', 'OpenID Connect Discovery'),
  },
  components: {
    securitySchemes: {
      introspectionToken: {
        type: 'http',
        scheme: 'bearer',
        description:
          'An introspection token (`mmi_…`): an admin token with the role introspector. You can send it as `client_secret` in the body, or as the password of Basic with its id (`adm_…`) as the user name, instead.',
      },
      clientSecretBasic: {
        type: 'http',
        scheme: 'basic',
        description:
          'User name: the id of the API key (`key_…`) or of its tenant. Password: the API key (`mmk_…`). You can send the API key as `client_secret` in the body instead.',
      },
    },
    headers: Object.fromEntries(
      Object.entries(HEADERS).map(([key, { name: _name, ...header }]) => [`Token${key}`, header]),
    ),
    responses: RESPONSES,
    schemas: SCHEMAS,
  },
})
