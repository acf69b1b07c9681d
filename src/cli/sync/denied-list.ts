import { connect } from 'node:http2'
import type { RevocationList } from '../../xds/revocation-list.ts'
import { LIST_PATH } from '../../xds/revocation-list.ts'
import { SyncFault } from './sync-fault.ts'

/** Where the list of revoked tokens is. */
export interface ListAccess {
  /** Of the xDS listener. */
  url: URL
  token: string | undefined
  /** Certificates of the authority of the listener; undefined: those of the system. */
  ca: string | undefined
}

/** The list, as far as it is compared. */
export interface DeniedList {
  /** Epoch milliseconds: it has everything that was revoked before. */
  version: number
  /** `tenant`: null where it is not known, and of a Mintmark of versions before it. */
  entries: readonly { claim: string; value: string; tenant: string | null; endsAt: number }[]
}

const TIMEOUT_MS = 10_000
/** More than 200,000 entries. */
const MOST_BYTES = 33_554_432
const CLAIMS = new Set(['jti', 'key_epoch', 'tenant_epoch'])

/** Fetches and checks the list. @throws {SyncFault} when there is none, or it must not be used. */
export async function fetchDenied(
  access: ListAccess,
  signal: AbortSignal,
  timeoutMs = TIMEOUT_MS,
): Promise<DeniedList> {
  const name = access.url.origin
  const { status, text } = await get(access, signal, timeoutMs).catch(error => {
    throw new SyncFault(
      'list_unavailable',
      `The list of revoked tokens at ${name} ${(error as Error).message}.`,
    )
  })
  if (status === 401)
    throw new SyncFault(
      'list_unavailable',
      `${name} does not accept MINTMARK_XDS_TOKEN: it must be one of MINTMARK_XDS_TOKENS.`,
    )
  if (status !== 200)
    throw new SyncFault('list_unavailable', `${name} answers ${status} to the request for revoked tokens.`)
  const list = parsed(text)
  if (!list)
    throw new SyncFault(
      'list_invalid',
      `${name} answers with no list of revoked tokens. Nothing was written.`,
    )
  return list
}

/** `undefined`: it is not a list. An entry that Istio would read as a pattern is none. */
function parsed(text: string): DeniedList | undefined {
  let list: Partial<RevocationList> | null
  try {
    list = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!/^\d{1,15}$/.test(String(list?.version)) || !Array.isArray(list?.revocations)) return undefined
  const isEntry = (entry: Partial<RevocationList['revocations'][number]> | null) =>
    CLAIMS.has(String(entry?.claim)) &&
    /^[-_0-9A-Za-z]{1,64}$/.test(String(entry?.value)) &&
    typeof (entry?.tenant ?? '') === 'string' &&
    Number.isFinite(entry?.ends_at)
  if (!list.revocations.every(isEntry)) return undefined
  return {
    version: Number(list.version),
    entries: list.revocations.map(({ claim, value, tenant = null, ends_at }) => ({
      claim,
      value,
      tenant,
      endsAt: ends_at,
    })),
  }
}

/** One request on a connection of its own: the listener speaks HTTP/2 only. @throws {Error} */
function get(
  { url, token, ca }: ListAccess,
  signal: AbortSignal,
  timeoutMs: number,
): Promise<{ status: number; text: string }> {
  const timeout = AbortSignal.timeout(timeoutMs)
  const session = connect(url.origin, ca === undefined ? {} : { ca })
  return new Promise<{ status: number; text: string }>((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException) => reject(new Error(explained(error)))
    session.on('error', fail)
    const end = () => {
      reject(
        new Error(
          timeout.aborted ? `does not answer within ${timeoutMs / 1_000} seconds` : 'was not waited for',
        ),
      )
      session.destroy()
    }
    for (const each of [signal, timeout]) each.addEventListener('abort', end, { once: true })
    const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` }
    const stream = session.request({ ':path': LIST_PATH, ...authorization })
    const chunks: Buffer[] = []
    let status = 0
    let bytes = 0
    stream.on('response', headers => {
      status = headers[':status'] ?? 0
    })
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes <= MOST_BYTES) chunks.push(chunk)
      else reject(new Error(`has more than ${MOST_BYTES} bytes`))
    })
    stream.on('error', fail)
    stream.on('end', () => resolve({ status, text: Buffer.concat(chunks).toString() }))
    stream.on('close', () => reject(new Error('ended the connection early')))
  }).finally(() => session.destroy())
}

function explained({ code, message }: NodeJS.ErrnoException): string {
  if (code === undefined) return `failed: ${message}`
  if (/CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ERR_TLS/.test(code))
    return `has a certificate that is not accepted (${code}): name its authority with --xds-ca`
  return `is not reachable (${code})`
}
