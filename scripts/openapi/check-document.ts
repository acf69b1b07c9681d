import {
  DENIAL_CODES,
  type DenialCode,
  denial,
  denialBody,
  MODEL_NOT_FOUND,
} from '../../src/gateway/denial.ts'
import { CLAIM_HEADERS, REQUIRED_SCOPE } from '../../src/gateway/headers.ts'
import { packageVersion } from '../../src/system/package-version.ts'

// The OpenAPI document of the gateway listener: the check (ext_authz, auth_request) and the list of models.
// test/gateway/openapi.test.ts compares it with the answers of a running service.

const DESCRIPTION = `Authorizes requests on behalf of a gateway in front of the engines (ext_authz, auth_request, forward_auth). Caddy
calls it for each request; agentgateway, Envoy, Envoy Gateway, Istio and nginx only for those whose credential is not a token that they verify by
themselves. Only gateways
should reach this listener. The gRPC service \`envoy.service.auth.v3.Authorization\` returns the same results on a port
of its own, 8083 by default.

### Authentication

Send the credential of the client: an API key (\`mmk_…\`) or a token. Two different ones are rejected.

~~~
Authorization: Bearer mmk_…
~~~

- An **API key** is exchanged for a token of the audience in \`MINTMARK_GATEWAY_AUDIENCE\`. The token is returned in \`Authorization\`.
- A valid **token** of that audience is returned unchanged.
- The API key or token needs the scope \`${REQUIRED_SCOPE}\`.
- API keys in \`X-API-Key\` and \`Api-Key\` are accepted if \`MINTMARK_GATEWAY_KEY_HEADERS\` names these headers.
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
    description:
      '`Bearer`, then the token. The gateway may verify the token, and forwards or removes this header.',
    required: true,
    schema: { type: 'string', pattern: '^Bearer [\\w-]+\\.[\\w-]+\\.[\\w-]+$' },
  },
  'X-Accel-Expires': {
    description: 'For nginx: how many seconds nginx may cache this response.',
    required: true,
    schema: { type: 'integer', minimum: 0 },
  },
  'X-Envoy-Auth-Headers-To-Remove': {
    description: 'For Envoy: names of the headers with a credential that Envoy removes from the request.',
    required: true,
    schema: text,
  },
  'X-Mintmark-Denial': {
    description:
      'Copy of the response body, at `/check` only, for gateways that forward only headers. The gateway must remove this header from the response to its client.',
    required: false,
    schema: text,
  },
  'X-Mintmark-Reason': {
    description:
      'Reason for the log of the gateway, at `/check` only: the `code`, or with `MINTMARK_GATEWAY_REASON=exact` the exact reason. The gateway must remove this header from the response to its client.',
    required: false,
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
  headers: headers(
    'X-Request-Id',
    'X-Mintmark-Denial',
    'X-Mintmark-Reason',
    status === 503 ? 'Retry-After' : 'WWW-Authenticate',
  ),
  content: {
    'application/json': { schema: ref('schemas', 'Denial'), example: denialBody(denial(example)) },
  },
})

const RESPONSES = {
  CheckUnauthenticated: denied(
    401,
    'The credential is missing or invalid, or the request has more than one. The same request with another credential may be allowed.',
    'missing_credential',
  ),
  CheckForbidden: denied(
    403,
    'The credential does not allow this request, the request is invalid, or too many invalid API keys came from this address. (For too many invalid API keys, `POST /oauth/token` returns 429. The check returns 403, because nginx turns a 429 of the check into 500.)',
    'model_not_allowed',
  ),
  CheckUnavailable: denied(503, 'The service is temporarily unavailable.', 'unavailable'),
}
const denials = {
  401: ref('responses', 'CheckUnauthenticated'),
  403: ref('responses', 'CheckForbidden'),
  503: ref('responses', 'CheckUnavailable'),
}

/** One of the list. */
const EXAMPLE_MODEL = {
  id: 'llama-3-8b',
  object: 'model',
  created: 1795510800,
  owned_by: 'mintmark',
  root: 'llama-3-8b',
  parent: null,
  max_model_len: 131072,
  type: 'model',
  created_at: '1970-01-01T00:00:00Z',
  display_name: 'llama-3-8b',
}

const SCHEMAS = {
  Denial: {
    description: 'An error in the form of the OpenAI API, which clients of the Anthropic API read too.',
    type: 'object',
    required: ['type', 'error'],
    properties: {
      type: { type: 'string', const: 'error', description: 'As the Anthropic API has it.' },
      error: {
        type: 'object',
        description: 'The error.',
        required: ['message', 'type', 'code', 'param'],
        properties: {
          message: string('What is wrong and what to do, for people. The text may change.'),
          type: {
            type: 'string',
            enum: ['authentication_error', 'permission_error', 'server_error'],
            description: 'Class of the error. Each HTTP status has one class.',
          },
          code: {
            type: 'string',
            enum: DENIAL_CODES,
            description: 'Machine-readable error code. It is stable.',
          },
          param: {
            type: ['string', 'null'],
            enum: ['model', null],
            description:
              'Parameter of the request that is invalid; null if the error is not about a parameter.',
          },
        },
      },
    },
  },
  ModelNotFound: {
    description: 'An error in the form of the OpenAI and Anthropic APIs.',
    type: 'object',
    required: ['type', 'error'],
    properties: {
      type: { type: 'string', const: 'error', description: 'Always `error`.' },
      error: {
        description: 'What is wrong.',
        type: 'object',
        required: ['message', 'type', 'code', 'param'],
        properties: {
          message: string('Explanation for people.'),
          type: { type: 'string', const: 'not_found_error', description: 'As the Anthropic API has it.' },
          code: { type: 'string', const: 'model_not_found', description: 'Reason, for programs.' },
          param: { type: 'string', const: 'model', description: 'Always `model`.' },
        },
      },
    },
  },
  ModelList: {
    description: 'Models in the form of the OpenAI API, which clients of the Anthropic API read too.',
    type: 'object',
    required: ['object', 'data', 'has_more'],
    properties: {
      object: { type: 'string', const: 'list', description: 'Always `list`.' },
      data: {
        type: 'array',
        description: 'Base models and LoRA adapters that the credential may use.',
        items: ref('schemas', 'ListedModel'),
      },
      has_more: { type: 'boolean', const: false, description: 'Always false: there is one page.' },
    },
  },
  ListedModel: {
    description: 'A model.',
    type: 'object',
    required: [
      'id',
      'object',
      'created',
      'owned_by',
      'root',
      'parent',
      'max_model_len',
      'type',
      'created_at',
      'display_name',
    ],
    properties: {
      id: string('Name, for `model` in a request.'),
      object: { type: 'string', const: 'model', description: 'Always `model`.' },
      created: { type: 'integer', description: 'Time of this response, in seconds since 1970.' },
      owned_by: string('`mintmark` for a base model, the id of the tenant for an adapter.'),
      root: string('The same as `id`. (vLLM has the path of the model here.)'),
      parent: {
        type: ['string', 'null'],
        description: 'Base model of an adapter; null for a base model.',
      },
      max_model_len: {
        type: ['integer', 'null'],
        description:
          'Longest prompt and completion together, in tokens; null: unknown, because the model or adapter was registered without it.',
      },
      type: { type: 'string', const: 'model', description: 'Always `model`, as the Anthropic API has it.' },
      created_at: string('Always the epoch: the date of the model is unknown.'),
      display_name: string('The same as `id`.'),
    },
  },
}

const ALLOWED = {
  description:
    "The request is allowed. The gateway sets the identity headers on the request to the engine, instead of the client's headers with the same names.",
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
        'For gateways that send no body, like nginx and Caddy. Every method and every path below `/check` gets the same response.',
      ),
      post: check(
        'checkWithBody',
        'Check a request with its body',
        'For gateways that send the body, as Envoy does with `with_request_body` (no file in `deploy/` does). If `MINTMARK_GATEWAY_MODEL` is `body`, the `model` in the body must be one of the models or adapters of the credential.',
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
          'Models and adapters of the credential, in the form of the OpenAI API. Caddy sends every `GET /v1/models` of a client here. Envoy, Envoy Gateway, nginx and HAProxy send only those with an API key, because they answer a request with a token from its claims. Istio and agentgateway answer all by themselves.',
        responses: {
          200: {
            description: 'The models.',
            headers: headers('X-Request-Id'),
            content: {
              'application/json': {
                schema: ref('schemas', 'ModelList'),
                example: {
                  object: 'list',
                  has_more: false,
                  data: [EXAMPLE_MODEL],
                },
              },
            },
          },
          ...denials,
        },
      },
    },
    '/v1/models/{model}': {
      get: {
        operationId: 'getAllowedModel',
        tags: ['models'],
        summary: 'Get an allowed model',
        description: 'A model or adapter of the credential. Slashes in the name may be encoded or not.',
        parameters: [
          {
            name: 'model',
            in: 'path',
            required: true,
            description: 'Name of the model or adapter.',
            schema: { type: 'string' },
            example: 'llama-3-8b',
          },
        ],
        responses: {
          200: {
            description: 'The model.',
            headers: headers('X-Request-Id'),
            content: {
              'application/json': { schema: ref('schemas', 'ListedModel'), example: EXAMPLE_MODEL },
            },
          },
          ...denials,
          404: {
            description: 'The model is unknown, or not allowed for the credential.',
            headers: headers('X-Request-Id'),
            content: {
              'application/json': { schema: ref('schemas', 'ModelNotFound'), example: MODEL_NOT_FOUND },
            },
          },
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
        description: 'An API key. Accepted if `MINTMARK_GATEWAY_KEY_HEADERS` names this header.',
      },
    },
    headers: Object.fromEntries(Object.entries(HEADERS).map(([name, header]) => [nameOf(name), header])),
    responses: RESPONSES,
    schemas: SCHEMAS,
  },
})
