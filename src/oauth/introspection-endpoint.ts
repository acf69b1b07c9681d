import type { IncomingMessage } from 'node:http'
import type { Introspector } from '../directory/introspector.ts'
import type { KeyStatus, TokenHolder } from '../directory/key-status.ts'
import { Unavailable } from '../errors.ts'
import { answerJson, headerList } from '../http/answer.ts'
import { readBody } from '../http/body.ts'
import { eventOf } from '../http/request-event.ts'
import type { Handler } from '../http/route-table.ts'
import type { FailureLimit } from '../system/failure-limit.ts'
import type { DenyList } from '../token-revocations/deny-list.ts'
import type { AccessTokenClaims } from '../tokens/claims.ts'
import type { TokenReader } from '../tokens/token-reader.ts'
import { OAuthError } from './oauth-error.ts'
import { LONGEST_FORM_BYTES, rateLimited } from './token-endpoint.ts'
import { parseTokenForm } from './token-form.ts'

const HEADERS = headerList({ Pragma: 'no-cache' })
/** RFC 7662 §2.2: nothing more about a token that is not active. */
const INACTIVE = '{"active":false}'

export interface IntrospectionParts {
  introspectors: { find(presented: string, now: number): Introspector | undefined }
  failures: FailureLimit
  /** Reads tokens of every audience and scope. */
  tokens: TokenReader
  denyList: DenyList
  keyStatusOf: (holder: TokenHolder) => Promise<KeyStatus>
  /** Whether this replica has not seen changes for longer than the staleness limit. */
  isStale: () => boolean
  afterPause: () => Promise<void> | undefined
  /** Database time in epoch milliseconds. */
  now: () => number
}

/**
 * RFC 7662: whether a token is good at this moment, for the holder of an introspection token. Needs no I/O for a key
 * that this replica knows. A token of other audiences than its own looks like none.
 */
export function introspectionEndpoint(parts: IntrospectionParts): Handler {
  return async (req, res) => {
    const body = await readBody(req, LONGEST_FORM_BYTES)
    const waiting = parts.afterPause()
    if (waiting !== undefined) await waiting
    const form = parseTokenForm({ url: req.url ?? '', headers: req.headers, body })
    const event = eventOf(res)
    const { id, audiences } = await authenticate(parts, req, presentedBy(req, form), event.source)
    event.fields.introspector = id
    if (parts.isStale()) throw new Unavailable('This replica has not seen changes for too long. Retry.')
    const claims = await activeToken(parts, form.token, audiences)
    if (claims) event.fields.token_id = claims.jti
    const answer = claims ? JSON.stringify({ active: true, token_type: 'Bearer', ...claims }) : INACTIVE
    answerJson(res, 200, answer, HEADERS)
  }
}

/** A Bearer token, or `adm_…` and the token as a client and its secret. */
function presentedBy(req: IncomingMessage, form: ReturnType<typeof parseTokenForm>): string {
  const [, bearer] = /^bearer +(\S+)$/i.exec(req.headers.authorization ?? '') ?? []
  if (bearer !== undefined) return bearer
  const { credential } = form.client()
  if ('assertion' in credential)
    throw new OAuthError(
      'invalid_client',
      'Unsupported client authentication. Send the introspection token.',
      {
        status: 401,
      },
    )
  const { clientId = '', secret } = credential
  // The id in the token and the one next to it are the same, or there is none.
  return clientId === '' || secret.startsWith(`mmi_${clientId.replace(/^adm_/, '')}_`) ? secret : ''
}

/** @throws {OAuthError} the same for unknown, expired and revoked tokens, and for any other credential. */
async function authenticate(
  { introspectors, failures, now }: IntrospectionParts,
  req: IncomingMessage,
  presented: string,
  source: string | undefined,
): Promise<Introspector> {
  const found = introspectors.find(presented, now())
  if (found) return found
  const allowance = await failures.take(source)
  if (!allowance.granted) throw rateLimited('introspection tokens', allowance.retryAfterSeconds)
  throw new OAuthError('invalid_client', 'Invalid introspection token.', {
    status: 401,
    headers: { 'WWW-Authenticate': challengeFor(req) },
  })
}

/** RFC 6749 §5.2: of the scheme that the caller used. */
const challengeFor = ({ headers }: IncomingMessage) =>
  /^basic /i.test(headers.authorization ?? '')
    ? 'Basic realm="mintmark", charset="UTF-8"'
    : 'Bearer realm="mintmark"'

async function activeToken(
  { tokens, denyList, keyStatusOf, now }: IntrospectionParts,
  token: string,
  audiences: readonly string[],
): Promise<AccessTokenClaims | undefined> {
  const read = await tokens.read(token, now())
  if ('fault' in read) return undefined
  const { claims } = read
  if (![claims.aud].flat().some(audience => audiences.includes(audience))) return undefined
  if (denyList.denies(claims)) return undefined
  const status = await keyStatusOf({ keyId: claims.sub, tenantId: claims.tenant })
  return status === 'good' ? claims : undefined
}
