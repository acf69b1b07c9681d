import type { GatewayModel } from '../config/gateway-config.ts'
import { BodyTurns } from '../http/body-turns.ts'
import { ROUTES } from './headers.ts'
import { isPlainJson, readModel } from './model-in-body.ts'

/**
 * A request that a gateway asks to authorize, as received: names and values of all headers in order, repeats included.
 */
export interface CheckedRequest {
  headers: readonly (readonly [name: string, value: string])[]
  /** The path and query that the client requested; '' where the gateway does not send them. */
  target: string
  /** The client's address as reported by trusted proxies. */
  source: string | undefined
  /** Read only after the credential: empty where the gateway sends none. @throws {RequestError} */
  body: () => Promise<Uint8Array>
}

/**
 * The credential of a client: exactly one, once in a header. The same one in a second header is no other (Claude Code's
 * apiKeyHelper sends it twice). Anything else is ambiguous.
 */
export type Shown =
  | { kind: 'nothing' }
  | { kind: 'ambiguous' }
  | { kind: 'unreadable' }
  | { kind: 'key'; secret: string }
  | { kind: 'token'; jwt: string }

/** Headers in which some client or engine puts a credential. All count, whether or not a key is accepted there. */
export const CREDENTIAL_HEADERS: readonly string[] = ['authorization', 'x-api-key', 'api-key']

/** `keyHeaders`: headers that may carry an API key, in addition to `Authorization`. */
export function shownBy({ headers }: CheckedRequest, keyHeaders: readonly string[]): Shown {
  const shown = CREDENTIAL_HEADERS.map(name => ({ name, values: valuesOf(headers, name) }))
  if (shown.some(({ values }) => values.length > 1)) return { kind: 'ambiguous' }
  const sent = shown.flatMap(({ name, values: [value = ''] }) =>
    value.trim() === '' ? [] : [{ name, value: value.trim() }],
  )
  const [one] = sent
  if (!one) return { kind: 'nothing' }
  if (new Set(sent.map(credentialIn)).size > 1) return { kind: 'ambiguous' }
  if (one.name !== 'authorization')
    return sent.some(({ name }) => keyHeaders.includes(name))
      ? { kind: 'key', secret: one.value }
      : { kind: 'nothing' }
  const [, credential] = BEARER.exec(one.value) ?? []
  if (credential === undefined) return { kind: 'unreadable' }
  return credential.includes('.') ? { kind: 'token', jwt: credential } : { kind: 'key', secret: credential }
}

const BEARER = /^bearer +([\x21-\x7e]+)$/i

function credentialIn({ name, value }: { name: string; value: string }): string {
  return name === 'authorization' ? (BEARER.exec(value)?.[1] ?? value) : value
}

/** The model that a request names. */
export type NamedModel =
  | { kind: 'not_asked' }
  | { kind: 'named'; model: string }
  | { kind: 'missing' }
  | { kind: 'unreadable'; fault: string }

/** The one route without a model. Compared exactly: any other spelling that an engine might accept needs a model. */
const LIST_OF_MODELS = '/v1/models'

const pathOf = (target: string) => target.replace(/\?.*$/s, '')

/** Reads the body where the model is in it. @throws {RequestError} when the body cannot be read */
export async function modelOf(request: CheckedRequest, where: GatewayModel): Promise<NamedModel> {
  if (where.from === 'nowhere' || pathOf(request.target) === LIST_OF_MODELS) return { kind: 'not_asked' }
  if (where.from === 'body') return modelOfBody(request)
  const [value, another] = valuesOf(request.headers, where.name)
  if (another !== undefined)
    return { kind: 'unreadable', fault: `Duplicate header: ${where.name}. Send it once.` }
  return value ? { kind: 'named', model: value } : { kind: 'missing' }
}

/** What the gateway calls the request, as its log has it; undefined where it sends none, or another form than hexadecimal. */
export function gatewayRequestId({ headers }: CheckedRequest): string | undefined {
  const [id = '', another] = valuesOf(headers, 'x-request-id')
  return another === undefined && /^[0-9A-Fa-f-]{16,64}$/.test(id) ? id : undefined
}

/** Compares names as CGI-like stacks do: case-insensitive, `_` equals `-`. */
function valuesOf(headers: CheckedRequest['headers'], name: string): string[] {
  const values: string[] = []
  for (const [spelled, value] of headers) {
    // Most names differ in length, which is the cheapest comparison.
    if (spelled.length === name.length && spelled.toLowerCase().replaceAll('_', '-') === name)
      values.push(value)
  }
  return values
}

/** Whether the engine takes the priority from the header there, so that one in the body counts for nothing. */
const takesPriority = (target: string) =>
  ROUTES.some(({ path, priorityFromHeader }) => priorityFromHeader && path === pathOf(target))

async function modelOfBody({ headers, body, target }: CheckedRequest): Promise<NamedModel> {
  const [contentType = '', another] = valuesOf(headers, 'content-type')
  const compressed = valuesOf(headers, 'content-encoding').length > 0
  if (another !== undefined || compressed || !isPlainJson(contentType))
    return { kind: 'unreadable', fault: 'Unsupported body. Send application/json in UTF-8, not compressed.' }
  const { model, fault } = await readModel(await body(), takesPriority(target), new BodyTurns())
  if (fault !== undefined) return { kind: 'unreadable', fault }
  return model === undefined ? { kind: 'missing' } : { kind: 'named', model }
}
