import { REQUIRED_SCOPE } from '../../src/gateway/authorize.ts'
import { DENIAL_CODES, type DenialCode, denial, denialBody } from '../../src/gateway/denial.ts'
import { CLAIM_HEADERS } from '../../src/gateway/headers.ts'
import { packageVersion } from '../../src/system/package-version.ts'

// The OpenAPI document of the gateway listener: the check (ext_authz, auth_request) and the list of models.
// test/gateway/openapi.test.ts compares it with the answers of a running service.

const DESCRIPTION = `Authorizes requests on behalf of a gateway in front of the engines (ext_authz, auth_request, forward_auth). The gateway
calls it for each request. Only gateways should reach this listener. The gRPC service
\`envoy.service.auth.v3.Authorization\` gives the same answers on a port of its own.

### Authentication

Send what the client sent: an API key (\`mmk_…\`) or a token, in exactly one place.

~~~
Authorization: Bearer mmk_…
~~~

- An **API key** is exchanged for a token of the audience in \`MINTMARK_GATEWAY_AUDIENCE\`, which is returned in \`Authorization\`.
- A valid **token** of that audience is returned unchanged.
- The key needs the scope \`${REQUIRED_SCOPE}\`.
- API keys in \`X-API-Key\` and \`Api-Key\` are accepted where \`MINTMARK_GATEWAY_KEY_HEADERS\` names these headers.
`

type Status = 401 | 403 | 503

const ref = (kind: 'headers' | 'responses' | 'schemas' | 'parameters', name: string) => ({
  $ref: `#/components/${kind}/${name}`,
})
const nameOf = (header: string) => `Check${header.replaceAll('-', '')}`
const headers = (...names: string[]) =>
  Object.fromEntries(names.map(name => [name, ref('headers', nameOf(name))]))

const text = { type: 'string' }
const string = (description: string, more: object = {}) => ({ type: 'string', description, ...more })

const HEADERS: Record<string, object> = {
  'X-Request-Id': {
    description: 'Id of this request. The access log has it too.',
    required: true,
    schema: text,
  },
  Authorization: {
    description: '`Bearer` and the token. The gateway sends it to the engine, or removes it.',
    required: true,
    schema: { type: 'string', pattern: '^Bearer [\\w-]+\\.[\\w-]+\\.[\\w-]+$' },
  },
  'X-Accel-Expires': {
    description: 'For nginx: seconds for which it may cache this response.',
    required: true,
    schema: { type: 'integer', minimum: 0 },
  },
  'X-Envoy-Auth-Headers-To-Remove': {
    description: 'For Envoy: headers with a credential that it removes from the request.',
    required: true,
    schema: text,
  },
  'X-Mintmark-Denial': {
    description: 'The body once more, for gateways that forward headers only.',
    required: true,
    schema: text,
  },
  'WWW-Authenticate': {
    description: 'Challenge of the scheme `Bearer` (RFC 6750).',
    required: true,
    schema: text,
  },
  'Retry-After': {
    description: 'Seconds to wait before the next attempt.',
    required: true,
    schema: { type: 'integer', minimum: 0 },
  },
  ...Object.fromEntries(
    CLAIM_HEADERS.map(({ claim, header, readBy }) => [
      header,
      {
        description: `Claim \`${claim}\` of the token. Read by: ${readBy}.`,
        required: true,
        schema: text,
      },
    ]),
  ),
}

const codesOf = (status: Status) => DENIAL_CODES.filter(code => denial(code).status === status)

const denied = (status: Status, description: string, example: DenialCode) => ({
  description: `${description} \`code\`: ${codesOf(status)
    .map(code => `\`${code}\``)
    .join(', ')}.`,
  headers: headers('X-Request-Id', 'X-Mintmark-Denial', status === 503 ? 'Retry-After' : 'WWW-Authenticate'),
  content: {
    'application/json': { schema: ref('schemas', 'Denial'), example: denialBody(denial(example)) },
  },
})

const RESPONSES = {
  CheckUnauthenticated: denied(
    401,
    'The credential is missing, ambiguous or invalid: another one may be accepted.',
    'missing_credential',
  ),
  CheckForbidden: denied(
    403,
    'The credential is valid but not allowed to do this, or the request is invalid.',
    'model_not_allowed',
  ),
  CheckUnavailable: denied(503, 'The service cannot answer at the moment.', 'unavailable'),
}
const denials = {
  401: ref('responses', 'CheckUnauthenticated'),
  403: ref('responses', 'CheckForbidden'),
  503: ref('responses', 'CheckUnavailable'),
}

const SCHEMAS = {
  Denial: {
    description: 'An error in the form of the OpenAI API.',
    type: 'object',
    required: ['error'],
    properties: {
      error: {
        type: 'object',
        description: 'The error.',
        required: ['message', 'type', 'code', 'param'],
        properties: {
          message: string('What is wrong and what to do, for people. It may change.'),
          type: {
            enum: ['authentication_error', 'permission_error', 'server_error'],
            description: 'Class of the error: one for each status.',
          },
          code: { enum: DENIAL_CODES, description: 'Kind of error for programs. It is stable.' },
          param: {
            enum: ['model', null],
            description: 'Invalid parameter of the request; null if it is none in particular.',
          },
        },
      },
    },
  },
  ModelList: {
    description: 'Models in the form of the OpenAI API.',
    type: 'object',
    required: ['object', 'data'],
    properties: {
      object: { const: 'list', description: 'Always `list`.' },
      data: {
        type: 'array',
        description: 'Base models and LoRA adapters that the key may use.',
        items: ref('schemas', 'ListedModel'),
      },
    },
  },
  ListedModel: {
    description: 'A model.',
    type: 'object',
    required: ['id', 'object', 'created', 'owned_by'],
    properties: {
      id: string('Name, for `model` in a request.'),
      object: { const: 'model', description: 'Always `model`.' },
      created: { type: 'integer', description: 'Time of this response, in seconds since 1970.' },
      owned_by: string('`mintmark` for a base model, the id of the tenant for an adapter.'),
    },
  },
}

const ALLOWED = {
  description:
    'The request is allowed. The gateway sets these headers on the request to the engine, in place of those from the client.',
  headers: headers(
    'X-Request-Id',
    'Authorization',
    ...CLAIM_HEADERS.map(({ header }) => header),
    'X-Envoy-Auth-Headers-To-Remove',
    'X-Accel-Expires',
  ),
}

const check = (operationId: string, summary: string, description: string, more: object = {}) => ({
  operationId,
  tags: ['check'],
  summary,
  description,
  ...more,
  responses: { 200: ALLOWED, ...denials },
})

/** The OpenAPI 3.1 document of the gateway listener. */
export const checkDocument = () => ({
  openapi: '3.1.1',
  info: { title: 'Mintmark gateway check', version: packageVersion(), description: DESCRIPTION },
  servers: [{ url: '/', description: 'The gateway listener, by default on port 8082.' }],
  security: [{ bearer: [] }, { apiKeyHeader: [] }],
  tags: [
    { name: 'check', description: 'Authorization of requests, for gateways.' },
    { name: 'models', description: 'Models that a client may use.' },
  ],
  paths: {
    '/check': {
      get: check(
        'check',
        'Check a request by its headers',
        'For gateways that send no body, like nginx and Caddy. Any method and any path below `/check` is answered the same.',
      ),
      post: check(
        'checkWithBody',
        'Check a request with its body',
        'For gateways that send the body, like Envoy. Where `MINTMARK_GATEWAY_MODEL` is `body`, `model` in it must be one of the models or adapters of the key.',
        {
          requestBody: {
            content: {
              'application/json': {
                schema: {
                  type: 'object',
                  description: 'Body of the request to the engine.',
                  properties: { model: string('Base model or LoRA adapter that the request uses.') },
                },
                example: { model: 'llama-3-8b' },
              },
            },
          },
        },
      ),
    },
    '/v1/models': {
      get: {
        operationId: 'listAllowedModels',
        tags: ['models'],
        summary: 'List allowed models',
        description:
          'Models and adapters of the key, in the form of the OpenAI API. Gateways route `GET /v1/models` of clients here.',
        responses: {
          200: {
            description: 'The models.',
            headers: headers('X-Request-Id'),
            content: {
              'application/json': {
                schema: ref('schemas', 'ModelList'),
                example: {
                  object: 'list',
                  data: [{ id: 'llama-3-8b', object: 'model', created: 1795510800, owned_by: 'mintmark' }],
                },
              },
            },
          },
          ...denials,
        },
      },
    },
  },
  components: {
    securitySchemes: {
      bearer: {
        type: 'http',
        scheme: 'bearer',
        description: 'The API key (`mmk_…`) or token that the client sent.',
      },
      apiKeyHeader: {
        type: 'apiKey',
        in: 'header',
        name: 'X-API-Key',
        description: 'An API key, where `MINTMARK_GATEWAY_KEY_HEADERS` names this header.',
      },
    },
    headers: Object.fromEntries(Object.entries(HEADERS).map(([name, header]) => [nameOf(name), header])),
    responses: RESPONSES,
    schemas: SCHEMAS,
  },
})
