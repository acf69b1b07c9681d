import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import { escapePointer, Invalid, Unavailable } from '../errors.ts'
import { handleBody, PartReader } from './body-turns.ts'
import type { HeldBytes } from './held-bytes.ts'
import { RequestError, requestError } from './request-error.ts'

const DEEPEST_JSON = 8
/** An import of 1,000 clients with six fields and 20 labels each has 27,000. As many that are unlike each other take some 20 ms to read. */
export const MOST_JSON_VALUES = 32_768
const MOST_PARAMETERS = 50
const NO_BODY = Buffer.alloc(0)

/** What a chunk takes in memory in addition to its bytes. */
const CHUNK_BYTES = 256

/**
 * The whole body as bytes as sent, at most `limit`; `held` bounds what all bodies hold while they arrive. Bodies in another
 * content encoding than these are rejected. @throws {RequestError} 413, 415, or 400 when the body ends early @throws {Unavailable} dropped by `held`
 */
export async function readBody(
  req: IncomingMessage,
  limit: number,
  held?: HeldBytes,
  encodings: readonly string[] = ['identity'],
): Promise<Buffer> {
  const encoding = req.headers['content-encoding']?.toLowerCase() ?? 'identity'
  if (!encodings.includes(encoding)) throw requestError(415)
  if (Number(req.headers['content-length'] ?? 0) > limit) throw requestError(413)
  // Without a body Node emits no body events (`optimizeEmptyRequests`, listener.ts).
  if (req.readableEnded) return NO_BODY
  // The client left before its body was wanted.
  if (req.destroyed) throw requestError(400)
  return await arrived(req, limit, held)
}

function arrived(req: IncomingMessage, limit: number, held: HeldBytes | undefined): Promise<Buffer> {
  const chunks: Buffer[] = []
  return new Promise<Buffer>((resolve, reject) => {
    let length = 0
    let over = false
    const end = (error: Error) => {
      over = true
      chunks.length = 0
      held?.release(holder)
      reject(error)
    }
    const peer = req.socket.remoteAddress ?? ''
    const holder = { peer, drop: () => end(new Unavailable('too many bodies are arriving')) }
    const parts = new PartReader(req, req)
    req.on('data', (chunk: Buffer) => {
      length += chunk.length
      parts.came(chunk.length + CHUNK_BYTES)
      if (over) return
      if (length > limit) return end(requestError(413))
      chunks.push(chunk)
      held?.hold(holder, length + CHUNK_BYTES * chunks.length)
    })
    req.on('end', () =>
      handleBody(length, peer, () => {
        held?.release(holder)
        resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks))
      }),
    )
    req.on('error', () => end(requestError(400)))
  })
}

const UTF_8 = /^utf-?8$/

/** The media type of a Content-Type header in lower case; '' when it is missing or its charset is not UTF-8. */
export function mediaType(contentType: string | undefined, charset: RegExp = UTF_8): string {
  if (!contentType?.includes(';')) return (contentType ?? '').trim().toLowerCase()
  const [type = '', ...parameters] = contentType.split(';').map(part => part.trim().toLowerCase())
  const charsets = parameters.filter(part => part.startsWith('charset='))
  const foreign = charsets.some(part => !charset.test(part.slice('charset='.length).replaceAll('"', '')))
  return foreign ? '' : type
}

/**
 * Parses application/x-www-form-urlencoded strictly: UTF-8, whole percent escapes, no NUL. Returns all names and values
 * in order, so that duplicates can be detected. @throws {RequestError} 400
 */
export function parseForm(body: unknown): (readonly [name: string, value: string])[] {
  const form: (readonly [string, string])[] = []
  const pairs = utf8(body).split('&', MOST_PARAMETERS + 1)
  if (pairs.length > MOST_PARAMETERS)
    throw new RequestError(400, 'Too many parameters in the form. At most 50 are accepted.')
  for (const pair of pairs) {
    if (pair === '') continue
    const equals = pair.indexOf('=')
    const name = formDecode(equals < 0 ? pair : pair.slice(0, equals))
    const value = formDecode(equals < 0 ? '' : pair.slice(equals + 1))
    if (name === undefined || value === undefined)
      throw new RequestError(
        400,
        'Invalid encoding of the form. Use application/x-www-form-urlencoded in UTF-8.',
      )
    form.push([name, value])
  }
  return form
}

const ENCODED = /[%+\0]/

/** Appendix B of RFC 6749: `+` is a space, `%XX` are bytes of UTF-8. `undefined` for invalid input or a NUL. */
export function formDecode(text: string): string | undefined {
  if (!ENCODED.test(text)) return text
  try {
    const decoded = decodeURIComponent(text.replaceAll('+', ' '))
    return decoded.includes('\0') ? undefined : decoded
  } catch {
    return undefined
  }
}

/**
 * Parses JSON strictly: UTF-8, at most eight levels deep and 32,768 values, without NUL, lone surrogates or `__proto__`. @throws
 * {RequestError} 400 @throws {Invalid}
 */
export function parseJson(body: unknown): unknown {
  const text = utf8(body)
  const { deepest, values } = shapeOf(text)
  if (deepest > DEEPEST_JSON)
    throw new RequestError(400, `The JSON is nested too deeply. At most ${DEEPEST_JSON} levels are accepted.`)
  if (values > MOST_JSON_VALUES)
    throw new RequestError(400, `The JSON has more than ${MOST_JSON_VALUES} values. Send less at once.`)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new RequestError(400, 'The body is not valid JSON. Send one JSON object.')
  }
  const pointer = isStorable(value) ? undefined : unstorableIn(value)
  if (pointer !== undefined)
    throw new Invalid([
      { pointer, message: 'must not contain a NUL character, a lone surrogate, or the name __proto__' },
    ])
  return value
}

function utf8(body: unknown): string {
  if (!Buffer.isBuffer(body)) return ''
  if (!isUtf8(body)) throw new RequestError(400, 'The body is not valid UTF-8. Send UTF-8.')
  return body.toString('utf8')
}

/**
 * Nesting depth of brackets outside strings, and the number of commas and brackets, which is about that of values. Checked before
 * parsing, because the parser recurses, and parses all at once.
 */
function shapeOf(text: string): { deepest: number; values: number } {
  let values = 0
  let depth = 0
  let deepest = 0
  let inString = false
  for (let index = 0; index < text.length; index++) {
    const character = text[index]
    if (inString) {
      if (character === '\\') index++
      else if (character === '"') inString = false
    } else if (character === '"') inString = true
    else if (character === ',') values++
    else if (character === '{' || character === '[') {
      values++
      deepest = Math.max(deepest, ++depth)
    } else if (character === '}' || character === ']') depth--
  }
  return { deepest, values }
}

/** Postgres text cannot hold NUL or a lone surrogate; zod drops `__proto__` silently. */
const isStorableText = (text: string) => text.isWellFormed() && !text.includes('\0')

function isStorable(value: unknown): boolean {
  if (typeof value === 'string') return isStorableText(value)
  if (typeof value !== 'object' || value === null) return true
  if (Array.isArray(value)) return value.every(isStorable)
  return Object.keys(value).every(
    name =>
      name !== '__proto__' && isStorableText(name) && isStorable((value as Record<string, unknown>)[name]),
  )
}

/** JSON pointer of the first value that cannot be stored; undefined: there is none. */
function unstorableIn(value: unknown, pointer = ''): string | undefined {
  if (typeof value === 'string') return isStorableText(value) ? undefined : pointer
  if (typeof value !== 'object' || value === null) return undefined
  for (const [name, member] of Object.entries(value)) {
    const place = `${pointer}/${escapePointer(name)}`
    if (name === '__proto__' || !isStorableText(name)) return place
    const found = unstorableIn(member, place)
    if (found !== undefined) return found
  }
  return undefined
}
