/**
 * gateway/ holds what a gateway in front of the engine does with our tokens. This file is the single list of the
 * headers that are set from claims, the headers that are removed from every incoming request, and the allowed routes.
 * The files in deploy/ are generated from it (deploy/generate/) and the tests iterate over it, so a name that is added
 * here is stripped and tested everywhere. Claims: src/tokens/claims.ts.
 */

/**
 * The number of the contract between the files of gateways, Mintmark and the engine: each file has it in its first lines,
 * each guide a table of its rows. It rises when a file and a Mintmark of different numbers would not work together.
 */
export const CONTRACT_NUMBER = 1

/** The claims that become headers. Strings only: Envoy writes a list as base64 and a negative number as a float. */
type HeaderClaim = 'tenant' | 'tier' | 'priority' | 'adapter_list'

export interface ClaimHeader {
  claim: HeaderClaim
  header: string
  readBy: string
}

export const CLAIM_HEADERS: readonly ClaimHeader[] = [
  { claim: 'tenant', header: 'x-tenant-id', readBy: 'rate limits, logs, applications' },
  // Both names of each pair: if only the alias were set, the client's canonical header would win.
  { claim: 'tenant', header: 'x-llm-d-inference-fairness-id', readBy: 'llm-d' },
  { claim: 'tenant', header: 'x-gateway-inference-fairness-id', readBy: 'Gateway API Inference Extension' },
  { claim: 'tenant', header: 'user', readBy: 'AIBrix' },
  { claim: 'priority', header: 'x-vllm-priority', readBy: 'vLLM 0.28 and later' },
  { claim: 'priority', header: 'x-priority', readBy: 'applications' },
  { claim: 'tier', header: 'x-llm-d-inference-objective', readBy: 'llm-d' },
  { claim: 'tier', header: 'x-gateway-inference-objective', readBy: 'Gateway API Inference Extension' },
  { claim: 'adapter_list', header: 'x-lora-adapters', readBy: 'engine middleware' },
]

/** The scope that a token must have, at every gateway and at the check. */
export const REQUIRED_SCOPE = 'inference'

/** Set by the gateway from the request body, for the entitlement rule and for routing by model. */
export const MODEL_HEADER = 'x-gateway-model-name'

export interface StrippedHeader {
  name: string
  /** What a client could achieve with the header. */
  why: string
}

/** Headers that a client may never send, in addition to those that are set from claims. */
const STEERING_HEADERS: readonly StrippedHeader[] = [
  { name: MODEL_HEADER, why: 'the model that the entitlement rule looks at' },
  { name: 'x-gateway-base-model-name', why: 'llm-d: the pool that serves the request' },
  { name: 'x-gateway-model-name-rewrite', why: 'another model or adapter after the check' },
  { name: 'x-llm-d-model-name-rewrite', why: 'another model or adapter after the check' },
  { name: 'x-ai-eg-model', why: 'Envoy AI Gateway: the model that routes and limits look at' },
  { name: 'x-session-id', why: 'vLLM, AIBrix: where the request lands' },
  { name: 'x-user-id', why: "vLLM's router: where the request lands, before x-tenant-id" },
  { name: 'x-worker-instance-id', why: 'Dynamo: where the request lands' },
  { name: 'x-dp-rank', why: 'Dynamo: where the request lands' },
  { name: 'routing-strategy', why: 'AIBrix: where the request lands' },
  { name: 'external-filter', why: 'AIBrix: where the request lands' },
  { name: 'config-profile', why: 'AIBrix: where the request lands' },
  { name: 'target-pod', why: 'AIBrix: the address that Envoy connects to' },
  { name: 'model', why: 'AIBrix: the route' },
  { name: 'request-id', why: "AIBrix: another request's counters" },
  { name: 'x-cache-salt', why: 'the prefix cache that the request shares' },
  { name: 'endpoint-load-metrics-format', why: 'vLLM: its queue length and cache use in the response' },
]

/**
 * Every header with one of these prefixes is removed: these families grow with each release of the products that read
 * them.
 */
export const STRIPPED_PREFIXES: readonly StrippedHeader[] = [
  { name: 'x-llm-d-', why: 'llm-d: objective, fairness, rewrite, slo-ttft-ms, slo-tpot-ms' },
  {
    name: 'x-gateway-',
    why: 'the same by their older names, and destination-endpoint: the address connected to',
  },
  { name: 'x-slo-', why: 'latency targets that jump the queue' },
  { name: 'x-aibrix-', why: 'AIBrix: config-profile, session-key' },
  { name: 'x-authz-', why: 'vLLM semantic router: user-id, user-groups' },
  {
    name: 'x-prefiller-',
    why: "llm-d's prefill/decode sidecar: host-port and url, the address connected to",
  },
  { name: 'x-prefill-', why: 'Dynamo: instance-id, dp-rank: where the prefill stage runs' },
  { name: 'x-smg-', why: "SGLang's gateway: target-worker, routing-key: where the request lands" },
  { name: 'x-encoder-', why: 'the same for encoders' },
  { name: 'x-data-parallel-', why: 'vLLM: rank; llm-d: host-port' },
  { name: 'x-amzn-sagemaker-', why: 'vLLM on SageMaker: another adapter on /invocations, sessions' },
]

/** Exact names, including those set from claims. */
export const STRIPPED_NAMES: readonly string[] = [
  ...CLAIM_HEADERS.map(({ header }) => header),
  ...STEERING_HEADERS.map(({ name }) => name),
]

/**
 * True for a name that anything behind the gateway could read as one of these: names are case-insensitive, and CGI-like
 * stacks do not distinguish `_` from `-`.
 */
export function isStripped(name: string): boolean {
  const read = name.toLowerCase().replaceAll('_', '-')
  return STRIPPED_NAMES.includes(read) || STRIPPED_PREFIXES.some(prefix => read.startsWith(prefix.name))
}

/**
 * Routes that an operator opens or closes together (`npm run generate -- --routes openai,anthropic`). openai: OpenAI's
 * clients. anthropic: Anthropic's clients and Claude Code. pooling: embeddings in other formats, scores and classes.
 * tokenize: token ids of a text, and back. audio: text of speech, whose model is in a form, which only Envoy's files read.
 */
export const ROUTE_GROUPS = ['openai', 'anthropic', 'pooling', 'tokenize', 'audio'] as const
export type RouteGroup = (typeof ROUTE_GROUPS)[number]

/** Open in the files of deploy/. */
const OPEN_GROUPS: readonly RouteGroup[] = ['openai', 'anthropic']

export interface AllowedRoute {
  method: 'GET' | 'POST'
  path: string
  group: RouteGroup
  /** Where a request names its model: in a JSON body, in a field of a form (multipart/form-data), or nowhere. */
  model: 'json' | 'form' | 'none'
  /** The engine takes the priority from the header on this route; elsewhere a `priority` in the body is rejected. */
  priorityFromHeader: boolean
}

const post = (group: RouteGroup, path: string, priorityFromHeader = false): AllowedRoute => ({
  ...{ method: 'POST', path, group, model: group === 'audio' ? 'form' : 'json', priorityFromHeader },
})

/**
 * All routes that clients of an engine need; test/engine/ compares them with the routes of a real vLLM. The body of a POST
 * names a `model`. Every other route of the engine stays closed.
 */
export const ROUTES: readonly AllowedRoute[] = [
  post('openai', '/v1/chat/completions', true),
  post('openai', '/v1/completions', true),
  post('openai', '/v1/responses', true),
  post('openai', '/v1/embeddings'),
  { method: 'GET', path: '/v1/models', group: 'openai', model: 'none', priorityFromHeader: false },
  // vLLM turns these into chat requests, and takes only the header's priority.
  post('anthropic', '/v1/messages', true),
  post('anthropic', '/v1/messages/count_tokens', true),
  ...['/rerank', '/v1/rerank', '/v2/rerank', '/score', '/v1/score'].map(path => post('pooling', path)),
  ...['/pooling', '/classify', '/v2/embed'].map(path => post('pooling', path)),
  ...['/tokenize', '/detokenize'].map(path => post('tokenize', path)),
  ...['/v1/audio/transcriptions', '/v1/audio/translations'].map(path => post('audio', path)),
]

/** The routes of some groups: `MODEL_ROUTES` are those whose body names a model. */
export interface OpenRoutes {
  MODEL_ROUTES: readonly AllowedRoute[]
  LIST_ROUTES: readonly AllowedRoute[]
}

/** `GET /v1/models` is always open: every client lists models. */
export function openRoutes(groups: readonly RouteGroup[] = OPEN_GROUPS): OpenRoutes {
  return {
    MODEL_ROUTES: ROUTES.filter(({ method, group }) => method === 'POST' && groups.includes(group)),
    LIST_ROUTES: ROUTES.filter(({ method }) => method === 'GET'),
  }
}

/** Without the routes whose bodies are forms. */
export const withoutForms = (routes: OpenRoutes): OpenRoutes => ({
  ...routes,
  MODEL_ROUTES: routes.MODEL_ROUTES.filter(({ model }) => model === 'json'),
})

export const { MODEL_ROUTES, LIST_ROUTES } = openRoutes()

/** How much of a body a gateway buffers to read the model; longer bodies are 413. */
export const LONGEST_BODY_BYTES = 4_194_304

/** What all requests to one of our listeners may hold together while they arrive: 30 of the longest bodies. */
export const MOST_HELD_BYTES = 134_217_728

/** How much of a body Envoy and Istio hold for a request whose credential is not verified yet. */
export const UNVERIFIED_BODY_BYTES = 65_536
