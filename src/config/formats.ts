import { isIP } from 'node:net'
import { parseNetwork } from '../system/ip-address.ts'
import { type NamedKey, Secret } from '../system/secret.ts'

/** The formats of values: each returns the value, or throws an Error with a message that completes "<variable> …". */

/** RFC 8414 §2: no query, no fragment; and no trailing slash, because gateways compare it byte for byte. */
export function issuerUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const plain = url && /^https?:$/.test(url.protocol) && !/[?#@]/.test(text)
  const canonical = url && (text === url.href || text === url.href.replace(/\/$/, ''))
  if (!plain || !canonical || text.endsWith('/') || text.length > 200) {
    throw new Error(
      'must be an https URL of at most 200 characters without user, query, fragment or trailing slash',
    )
  }
  return text
}

/**
 * Limited to 200 bytes as JSON, the size reserved in a token. Printable ASCII without space, comma, quote or backslash:
 * a name such as `vllm`, or a URI.
 */
export const AUDIENCE = /^[\x21\x23-\x2b\x2d-\x5b\x5d-\x7e]{1,196}$/

export function audience(text: string): string {
  if (!AUDIENCE.test(text)) {
    throw new Error(
      'must be 1 to 196 printable ASCII characters without spaces, commas, quotes or backslashes',
    )
  }
  return text
}

/** Rejects networks of all addresses: any client could then claim any address. */
export function cidrs(text: string): string[] {
  const list = text.split(',').map(part => part.trim())
  if (list.some(part => parseNetwork(part) === undefined)) {
    throw new Error(`must be a comma-separated list of addresses or CIDRs, like 10.0.0.0/8, got "${text}"`)
  }
  return list
}

export function rootTokens(text: string): Secret[] {
  const list = text.split(',').map(part => part.trim())
  if (list.some(token => !/^[\x21-\x7e]{32,}$/.test(token))) {
    throw new Error('must have at least 32 printable characters without spaces')
  }
  return list.map(token => new Secret(token))
}

export function namedKeys(text: string): NamedKey[] {
  const keys = text.split(',').map(part => {
    const [, id, encoded] = /^([A-Za-z0-9_-]{1,32}):([A-Za-z0-9_-]{43})$/.exec(part.trim()) ?? []
    if (!id || !encoded) throw new Error('must be a comma-separated list of id:base64url(32 bytes)')
    return { id, key: new Secret(Buffer.from(encoded, 'base64url')) }
  })
  if (new Set(keys.map(key => key.id)).size < keys.length) throw new Error('must not contain an id twice')
  return keys
}

/** An address to listen on, which is neither a URL nor has a port. */
export function listenHost(text: string): string {
  if (isIP(text) !== 0 || /^[A-Za-z0-9]([-\w.]*[A-Za-z0-9])?$/.test(text)) return text
  throw new Error(
    `must be an address or the name of a host, like 0.0.0.0, without scheme, port and brackets, got "${text}"`,
  )
}
