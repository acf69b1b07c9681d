import { CliError, EXIT } from '../exit-codes.ts'

/** Requests of one key for one model. */
export interface LoggedUse {
  /** The client_id that the key was imported under; undefined: the request had no key that the log names. */
  clientId: string | undefined
  /** Undefined: the log does not have it. */
  model: string | undefined
  requests: number
}

/** LiteLLM logs the hash of a key, also for keys that it refused. */
export const clientOfToken = (token: unknown): string | undefined =>
  typeof token === 'string' && /^[0-9a-f]{64}$/.test(token) ? `litellm-${token.slice(0, 16)}` : undefined

/**
 * Sums a log of requests, one JSON object a line:
 * - LiteLLM's StandardLoggingPayload, which its callbacks write to S3, GCS and others
 * - rows of LiteLLM's table LiteLLM_SpendLogs
 * - lines of Kong's file-log and http-log plugins, which have no model
 * - objects with `client_id` and `model`, for any other log
 * Lines that are not JSON, and objects of other forms, are counted as unreadable.
 */
export class LogSummary {
  readonly #uses = new Map<string, LoggedUse>()
  unreadable = 0

  addLine(line: string): void {
    if (line.trim() === '') return
    let entry: unknown
    try {
      entry = JSON.parse(line)
    } catch {
      this.unreadable++
      return
    }
    const use = useOf(entry)
    if (use) this.add(use.clientId, use.model, 1)
    else this.unreadable++
  }

  add(clientId: string | undefined, model: string | undefined, requests: number): void {
    const name = JSON.stringify([clientId, model])
    const before = this.#uses.get(name)?.requests ?? 0
    this.#uses.set(name, { clientId, model, requests: before + requests })
  }

  /** @throws {CliError} when nothing could be read. */
  uses(file: string): LoggedUse[] {
    if (this.#uses.size === 0)
      throw new CliError(EXIT.usage, `${file} contains no request in a form that is known.`, [
        'Known: logs of LiteLLM and Kong as JSON lines, and objects with client_id and model.',
      ])
    return [...this.#uses.values()]
  }
}

type Fields = Readonly<Record<string, unknown>>

function useOf(entry: unknown): Pick<LoggedUse, 'clientId' | 'model'> | undefined {
  if (typeof entry !== 'object' || entry === null) return undefined
  const fields = entry as Fields
  const model = textOf(fields.model_group) ?? textOf(fields.model)
  const metadata = objectOf(fields.metadata)
  if (metadata && 'user_api_key_hash' in metadata)
    return { clientId: clientOfToken(metadata.user_api_key_hash), model }
  if ('api_key' in fields && 'call_type' in fields) return { clientId: clientOfToken(fields.api_key), model }
  const credential = objectOf(fields.authenticated_entity)
  if (credential) return { clientId: `kong-${String(credential.id)}`, model: undefined }
  if (typeof fields.client_id === 'string') return { clientId: fields.client_id, model }
  return undefined
}

const textOf = (value: unknown) => (typeof value === 'string' && value !== '' ? value : undefined)

const objectOf = (value: unknown): Fields | undefined =>
  typeof value === 'object' && value !== null ? (value as Fields) : undefined
