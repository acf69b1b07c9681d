import { type BoundedAnswer, type BoundedRequest, boundedRequest } from './bounded-request.ts'
import { SyncFault } from './sync-fault.ts'

const MOST_BYTES = 4_194_304

/** How the API server is reached, and as whom. */
export interface KubernetesAccess {
  server: string
  /** Where the credentials are from, for messages. */
  origin: string
  /** The namespace of the pod or of the kubeconfig's context. */
  namespace: string
  tls: NonNullable<BoundedRequest['tls']>
  /** The current token: Kubernetes replaces the file of a pod within its hour. @throws {SyncFault} */
  token(): Promise<string | undefined>
}

// biome-ignore lint/suspicious/noExplicitAny: each kind of object has its own shape
export type KubernetesObject = any

/** An object as it is applied. */
export interface AppliedObject {
  /** For messages. */
  title: string
  path: string
  object: KubernetesObject
}

/** Requests to the API server: the few that sync needs, each with a deadline. */
export class KubernetesApi {
  readonly #access: KubernetesAccess
  readonly #signal: AbortSignal | undefined
  readonly #guide: string

  /** `guide`: the page with the Role that the requests need. */
  constructor(access: KubernetesAccess, signal?: AbortSignal, guide = 'docs/guides/istio.md') {
    this.#access = access
    this.#signal = signal
    this.#guide = guide
  }

  /** The object, or undefined. @throws {SyncFault} */
  async find(path: string): Promise<KubernetesObject | undefined> {
    try {
      return await this.call('GET', path)
    } catch (error) {
      if (error instanceof SyncFault && error.reason === 'not_found') return undefined
      throw error
    }
  }

  /** Changes only the fields of `body` (RFC 7386). @throws {SyncFault} */
  merge(path: string, body: object): Promise<KubernetesObject> {
    return this.call('PATCH', path, body, 'application/merge-patch+json')
  }

  /** A PATCH applies the object, unless `type` is another one. @throws {SyncFault} with what the API server says */
  async call(
    method: string,
    path: string,
    body?: object,
    type = method === 'PATCH' ? 'application/apply-patch+yaml' : 'application/json',
  ): Promise<KubernetesObject> {
    const { server, tls, token, origin } = this.#access
    const credential = await token()
    let answer: BoundedAnswer
    try {
      answer = await boundedRequest({
        method,
        url: new URL(server + path),
        tls,
        mostBytes: MOST_BYTES,
        signal: this.#signal,
        headers: {
          accept: 'application/json',
          ...(credential !== undefined && { authorization: `Bearer ${credential}` }),
          ...(body && { 'content-type': type }),
        },
        ...(body && { body: JSON.stringify(body) }),
      })
    } catch (error) {
      throw new SyncFault('api_unavailable', `The API server ${server} ${(error as Error).message}.`)
    }
    const object = parsed(answer.text)
    if (answer.status >= 200 && answer.status < 300 && typeof object?.kind === 'string') return object
    throw faultOf(answer, object, {
      what: `${method} ${path.replace(/\?.*/, '')}`,
      origin,
      server,
      guide: this.#guide,
    })
  }
}

function parsed(text: string): KubernetesObject | undefined {
  try {
    const value = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}

interface Circumstances {
  what: string
  origin: string
  server: string
  guide: string
}

function faultOf(
  { status, headers }: BoundedAnswer,
  object: KubernetesObject | undefined,
  { what, origin, server, guide }: Circumstances,
): SyncFault {
  const said =
    object?.kind === 'Status' ? `: ${String(object.message ?? object.reason ?? '').slice(0, 1_000)}` : '.'
  if (status === 401)
    return new SyncFault(
      'api_forbidden',
      `The API server ${server} does not accept the credentials of ${origin}${said}`,
    )
  if (status === 403)
    return new SyncFault('api_forbidden', `The API server forbids ${what}${said} Grant the Role of ${guide}.`)
  if (status === 429 || status >= 500) {
    const seconds = Number(headers['retry-after'])
    return new SyncFault('api_unavailable', `The API server ${server} answers ${status} to ${what}${said}`, {
      ...(seconds > 0 && { retryAfterSeconds: seconds }),
    })
  }
  if (object?.kind !== 'Status')
    return new SyncFault(
      'api_invalid',
      `${server} is not a Kubernetes API server: it answers ${status} to ${what}.`,
    )
  if (status === 404) return new SyncFault('not_found', `${what}${said}`)
  if (status === 409) return new ApiConflict(`${what}${said}`, managersOf(object))
  return new SyncFault('rejected', `The API server rejects ${what}${said}`)
}

/** A field that another manager owns, or a version that is no longer the current one. */
export class ApiConflict extends SyncFault {
  readonly managers: readonly Manager[]
  constructor(message: string, managers: readonly Manager[]) {
    super('conflict', message)
    this.managers = managers
  }
}

/** Who owns a field, as in `conflict with "argocd-controller" using security.istio.io/v1`. */
export interface Manager {
  name: string
  field: string
}

function managersOf({ details }: KubernetesObject): Manager[] {
  const causes: KubernetesObject[] = Array.isArray(details?.causes) ? details.causes : []
  return causes
    .filter(({ reason }) => reason === 'FieldManagerConflict')
    .map(({ message, field }) => ({
      name: /"([^"]*)"/.exec(String(message))?.[1] ?? '?',
      field: String(field),
    }))
}
