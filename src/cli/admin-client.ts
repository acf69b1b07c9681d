import { systemRandom } from '../system/random.ts'
import { UNKNOWN_OUTCOME } from './connection/network-fault.ts'
import { type Outcome, OutcomeUnknown, type Patience, patientCall } from './connection/patience.ts'
import { CliError, EXIT, exitCodeOf } from './exit-codes.ts'
import { type Answer, httpCall, notMintmark } from './http-call.ts'
import type { AdminSettings } from './settings.ts'

/** One field that the service rejected (RFC 6901 pointer), as admin/problem.ts writes it. */
export interface FieldFault {
  pointer: string
  message: string
}

/** The service returned an error. `faults` are for the command to express in its own options. */
export class ApiError extends CliError {
  readonly code: string
  readonly faults: readonly FieldFault[]

  constructor(status: number, problem: Problem) {
    super(exitCodeOf(status), problem.detail, status >= 500 ? [`request id: ${problem.request_id}`] : [])
    this.code = problem.code
    this.faults = problem.errors ?? []
  }
}

interface Problem {
  detail: string
  code: string
  request_id: string
  errors?: FieldFault[]
}

interface Page<T> {
  data: T[]
  next_cursor: string | null
}

const LARGEST_PAGE = 100

/** Headers of the calls that change something. */
export type ChangeHeaders = Readonly<Record<string, string>>

/** `send`: connect-to.ts. Without `patience` each request is sent once. */
interface Connection {
  send?: typeof fetch
  patience?: Patience
}

/**
 * A client of the admin API. Every call throws {CliError}: an ApiError when the service responded, otherwise the
 * connection failure.
 */
export class AdminClient {
  readonly #settings: AdminSettings
  readonly #changeHeaders: ChangeHeaders
  readonly #connection: Connection

  constructor(settings: AdminSettings, changeHeaders: ChangeHeaders = {}, connection: Connection = {}) {
    this.#settings = settings
    this.#changeHeaders = changeHeaders
    this.#connection = connection
  }

  /** A client for the repetitions of a change, which are not about the version that the first one named. */
  get unconditional(): AdminClient {
    return this.with({})
  }

  /** A client whose changes have these headers. */
  with(changeHeaders: ChangeHeaders): AdminClient {
    return new AdminClient(this.#settings, changeHeaders, this.#connection)
  }

  get<T>(path: string): Promise<T> {
    return this.#call('GET', path)
  }

  /** The version of the object at a path. */
  async etag(path: string): Promise<string> {
    return (await this.versioned(path)).etag
  }

  /** The object at a path, with its version. */
  async versioned<T>(path: string): Promise<{ object: T; etag: string }> {
    const { answer } = await this.#send('GET', path)
    const etag = answer.headers.get('etag')
    if (answer.status !== 200 || etag === null) throw this.#refusal(answer, 'GET', path)
    return { object: answer.body as T, etag }
  }

  post<T>(path: string, body?: object): Promise<T> {
    return this.#call('POST', path, body)
  }

  put<T>(path: string, body: object): Promise<T> {
    return this.#call('PUT', path, body)
  }

  patch<T>(path: string, body: object): Promise<T> {
    return this.#call('PATCH', path, body)
  }

  delete<T = void>(path: string): Promise<T> {
    return this.#call('DELETE', path)
  }

  /** Follows the cursors until the end of the list, or until there are `limit` items. */
  async list<T>(
    path: string,
    limit = Number.POSITIVE_INFINITY,
    filter: Readonly<Record<string, string>> = {},
  ): Promise<T[]> {
    const items: T[] = []
    let cursor: string | null = null
    do {
      const query = new URLSearchParams({
        ...filter,
        limit: String(Math.min(limit - items.length, LARGEST_PAGE)),
      })
      if (cursor !== null) query.set('cursor', cursor)
      const page: Page<T> = await this.get(`${path}?${query}`)
      if (!isPage(page)) throw notMintmark(this.#settings.url, this.#settings.urlFrom, 'admin')
      items.push(...page.data)
      cursor = page.next_cursor
    } while (cursor !== null && items.length < limit)
    return items
  }

  /** Yields NDJSON part by part, following the links to the next one (RFC 8288). */
  async *lines(path: string): AsyncGenerator<string> {
    let place: string | undefined = path
    while (place !== undefined) {
      const { answer }: Outcome = await this.#send('GET', place)
      if (answer.status !== 200) throw this.#refusal(answer, 'GET', place)
      yield answer.text
      const [, query] = /^<(\?[^>]*)>; rel="next"$/.exec(answer.headers.get('link') ?? '') ?? []
      place = query === undefined ? undefined : path.replace(/\?.*$/, '') + query
    }
  }

  async #call<T>(method: string, path: string, body?: object): Promise<T> {
    const { answer, isUnsure } = await this.#send(method, path, body)
    if (answer.status === 204 && method !== 'GET') return undefined as T
    if (isUnsure) {
      // The first of them deleted it.
      if (answer.status === 404 && method === 'DELETE' && !path.includes('dry_run=')) return undefined as T
      if (answer.status === 412) throw new OutcomeUnknown(`${method} ${path}`)
      const secret = lostSecretOf(answer.body)
      if (secret) throw new OutcomeUnknown(`${method} ${path}`, secret)
    }
    if (answer.status < 300 && typeof answer.body === 'object' && answer.body !== null)
      return answer.body as T
    throw this.#refusal(answer, method, path)
  }

  #send(method: string, path: string, body?: object): Promise<Outcome> {
    const { url, token, urlFrom } = this.#settings
    const { send, patience } = this.#connection
    const headers: Record<string, string> = {
      authorization: `Bearer ${token}`,
      accept: 'application/json',
      ...(body && { 'content-type': 'application/json' }),
      // So that it can be sent again without being carried out twice.
      ...(method === 'POST' && patience && { 'idempotency-key': systemRandom.bytes(16).toString('hex') }),
      ...(method !== 'GET' && this.#changeHeaders),
    }
    const init = { method, headers, ...(body && { body: JSON.stringify(body) }) }
    return patientCall(patience, init, () => httpCall(`${url}/admin/v1${path}`, init, urlFrom, send))
  }

  #refusal(answer: Answer, method: string, path: string): CliError {
    const { status, body } = answer
    const { url, urlFrom } = this.#settings
    if (isProblem(body))
      return isNoRoute(status, body) ? noRoute(url, urlFrom, method, path) : new ApiError(status, body)
    if (exitCodeOf(status) !== EXIT.unavailable) return notMintmark(url, urlFrom, 'admin', answer)
    // Of a proxy, after it may have passed the request on.
    const isUnknown = method !== 'GET' && status !== 429 && status !== 503
    const advice = isUnknown ? [UNKNOWN_OUTCOME] : []
    return new CliError(EXIT.unavailable, `${url} answers ${status}: it is not ready. Retry.`, advice)
  }
}

/** What the service says of a secret that only the first answer had: where to get another. */
function lostSecretOf(body: unknown): string | undefined {
  const { secret_available: isAvailable, secret_advice: advice } = (body ?? {}) as Record<string, unknown>
  return isAvailable === false ? String(advice) : undefined
}

/** A path of the API with percent-encoded segments. @throws {CliError} for a segment that would change the path. */
export function path(texts: TemplateStringsArray, ...segments: string[]): string {
  return String.raw({ raw: texts }, ...segments.map(segment))
}

function segment(text: string): string {
  // A URL resolves "." and "..", even percent-encoded: "secrets/../revoke" would revoke the whole key.
  if (text === '' || text === '.' || text === '..')
    throw new CliError(EXIT.usage, `"${text}" is not a name or id.`)
  return encodeURIComponent(text)
}

const isPage = ({ data }: Page<unknown>): boolean =>
  Array.isArray(data) && data.every(item => typeof item === 'object' && item !== null)

/** A path that the service does not have, other than an object that does not exist. */
const isNoRoute = (status: number, { detail }: Problem) =>
  status === 405 || (status === 404 && /^Not found\./.test(detail))

/** No "not found": a script would take it for an object that does not exist. */
function noRoute(url: string, urlFrom: string, method: string, path: string): CliError {
  const [route] = path.split('?')
  return new CliError(EXIT.fault, `the service at ${url} does not know ${method} /admin/v1${route}.`, [
    `It is older than this command ("mintmark --version"), or ${urlFrom} has a path too many.`,
  ])
}

function isProblem(body: unknown): body is Problem {
  const { detail, code } = (body ?? {}) as Partial<Problem>
  return typeof detail === 'string' && typeof code === 'string'
}
