import type { LookupAddress } from 'node:dns'
import { lookup } from 'node:dns/promises'
import { type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isIP } from 'node:net'
import type { Clock } from '../../system/clock.ts'
import { isLoopback } from '../../system/ip-address.ts'
import { type AddressRules, checkedAddresses } from './fetch-address.ts'
import { FetchFault } from './fetch-fault.ts'

export type Resolve = (hostname: string) => Promise<readonly LookupAddress[]>

export interface FetchMeans {
  clock: Clock
  /** Accept http from loopback: never in production. */
  insecureLoopback: boolean
  isOwn: AddressRules['isOwn']
  /** The system's resolver, unless a test changes the answers. */
  resolve?: Resolve
}

export interface Fetched {
  url: string
  caPem: string | null
  /** Sent as Bearer. */
  token?: string | undefined
  allowed: AddressRules['allowed']
}

const LONGEST_MS = 5_000
const NAME_FAULTS = new Set(['ENOTFOUND', 'EAI_AGAIN', 'ENODATA', 'ESERVFAIL'])
const MOST_BYTES = 262_144

const systemResolve: Resolve = hostname => lookup(hostname, { all: true })

/**
 * Gets a JSON document: in 5 s, at most 256 KB, over https, without following redirects, and only from addresses that
 * were checked after the name was resolved. Reads no proxy settings, sends no credential but `token`, and keeps no connection.
 * @throws {FetchFault}
 */
export async function fetchDocument(given: Fetched, means: FetchMeans): Promise<unknown> {
  const url = parseUrl(given.url, means)
  const aborted = new AbortController()
  const timer = new AbortController()
  const late = means.clock.sleep(LONGEST_MS, timer.signal).then(() => {
    if (!timer.signal.aborted) aborted.abort()
    throw new FetchFault('timeout', 'There was no complete response within 5 s.')
  })
  const work = async () => {
    const addresses = await addressesOf(url, given, means)
    aborted.signal.throwIfAborted()
    return parsed(await get(url, given, addresses, aborted.signal))
  }
  try {
    return await Promise.race([work(), late])
  } catch (error) {
    if (error instanceof FetchFault) throw error
    const code = codeOf(error)
    const kind = NAME_FAULTS.has(code) ? 'name' : 'connection'
    throw new FetchFault(kind, `The request failed: ${code}.`)
  } finally {
    aborted.abort()
    timer.abort()
    late.catch(() => {})
  }
}

function parseUrl(text: string, { insecureLoopback }: FetchMeans): URL {
  const url = URL.parse(text)
  if (!url) throw new FetchFault('url', 'The address of the keys is no URL.')
  const isLocal = isLoopback(hostOf(url)) || url.hostname === 'localhost'
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && insecureLoopback && isLocal))
    throw new FetchFault('url', 'The address of the keys must begin with https://.')
  if (url.username || url.password) throw new FetchFault('url', 'The address of the keys has a password.')
  return url
}

/** Without the brackets of IPv6. */
const hostOf = (url: URL) => url.hostname.replace(/^\[|\]$/g, '')
const portOf = (url: URL) => (url.port ? Number(url.port) : url.protocol === 'https:' ? 443 : 80)

async function addressesOf(
  url: URL,
  { allowed }: Fetched,
  means: FetchMeans,
): Promise<readonly LookupAddress[]> {
  const host = hostOf(url)
  const family = isIP(host)
  const resolve = means.resolve ?? systemResolve
  const resolved = family ? [{ address: host, family }] : await resolve(host)
  return checkedAddresses(resolved, portOf(url), { allowed, isOwn: means.isOwn })
}

/** Connects to these addresses, whatever the name resolves to now. */
function get(
  url: URL,
  { caPem, token }: Fetched,
  addresses: readonly LookupAddress[],
  signal: AbortSignal,
): Promise<Buffer> {
  const request = url.protocol === 'https:' ? requestHttps : requestHttp
  const options = {
    agent: false as const,
    signal,
    headers: {
      accept: 'application/json, application/jwk-set+json',
      'accept-encoding': 'identity',
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    },
    ...(caPem !== null && { ca: caPem }),
    lookup: (_name: string, { all }: { all?: boolean | undefined }, done: LookupDone) =>
      all ? done(null, [...addresses]) : done(null, addresses[0]?.address ?? '', addresses[0]?.family),
  }
  return new Promise((resolve, reject) => {
    const sent = request(url, options, response => {
      bodyOf(response).then(resolve, reject)
    })
    sent.on('error', reject)
    sent.end()
  })
}

type LookupDone = (error: null, address: string | LookupAddress[], family?: number) => void

async function bodyOf(response: IncomingMessage): Promise<Buffer> {
  const { statusCode, headers } = response
  try {
    if (statusCode !== 200)
      throw new FetchFault('status', `The answer has the status ${statusCode} instead of 200.`)
    if ((headers['content-encoding'] ?? 'identity') !== 'identity')
      throw new FetchFault('document', 'The response is compressed, which the request did not allow.')
    const parts: Buffer[] = []
    let size = 0
    for await (const part of response) {
      size += part.length
      if (size > MOST_BYTES) throw new FetchFault('size', `The answer has more than ${MOST_BYTES} bytes.`)
      parts.push(part)
    }
    return Buffer.concat(parts)
  } finally {
    response.destroy()
  }
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch {
    throw new FetchFault('document', 'The answer is not JSON.')
  }
}

function codeOf(error: unknown): string {
  const { code } = (error ?? {}) as { code?: unknown }
  return typeof code === 'string' && /^[A-Z0-9_]{1,60}$/.test(code) ? code : 'unknown error'
}
