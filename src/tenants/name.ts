/**
 * tenants/ holds tenants, the tiers that give priorities, the registered base models and LoRA adapters, and
 * `rights.ts`, which computes what an exchange may yield.
 *
 * This file has the formats of names that reach a gateway. They exclude comma, space and dot where Envoy, Istio or
 * KrakenD would split (docs/decisions/0004-flat-string-claims.md).
 */

/** A tenant's id: a DNS label, safe in headers, Redis keys and metric labels. */
export const TENANT_ID = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/

/** A tier or adapter. */
export const ENGINE_NAME = /^[A-Za-z0-9][-A-Za-z0-9._:/@]{0,95}$/

/** A base model: vLLM serves a local model under its path, so it may begin with `/`, `./` or `../`. */
export const MODEL_NAME = /^(\.{0,2}\/)?[A-Za-z0-9][-A-Za-z0-9._:/@]{0,95}$/
export const LONGEST_NAME = 96

/** The value of `adapter_list` without adapters, so no adapter may have this name. */
export const RESERVED_NAME = 'none'

/** RFC 6749 §3.3 scope-token, shorter. */
export const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]{1,64}$/

/** Maximum size of lists as JSON, in bytes, so that no token reaches LONGEST_TOKEN_BYTES (test/tokens/token-size.test.ts). */
export const LONGEST_JSON = { models: 800, adapters: 500, audiences: 200, scopes: 130 } as const

export const jsonBytes = (value: unknown): number => Buffer.byteLength(JSON.stringify(value))
