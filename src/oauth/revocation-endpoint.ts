import { answerJson, headerList } from '../http/answer.ts'
import { readBody } from '../http/body.ts'
import { eventOf } from '../http/request-event.ts'
import type { Handler } from '../http/route-table.ts'
import type { RefusalReason } from '../refusal-reasons.ts'
import { MinuteLimit } from '../system/minute-limit.ts'
import type { DenyList } from '../token-revocations/deny-list.ts'
import type { TokenRevocations } from '../token-revocations/token-revocations.ts'
import type { TokenReader } from '../tokens/token-reader.ts'
import { OAuthError } from './oauth-error.ts'
import { authenticate, type ClientAuthentication, LONGEST_FORM_BYTES } from './token-endpoint.ts'
import { parseTokenForm } from './token-form.ts'

const HEADERS = headerList({ Pragma: 'no-cache' })
/** Each one is a transaction, and an entry that all replicas keep. By key, in this process. */
const MOST_A_MINUTE = 100

/**
 * RFC 7009: a client ends one of its own tokens. The answer is 200 for every other string too: a token that expired, was
 * revoked before, is of another client or is none, so that a client learns nothing about tokens that are not its own.
 */
export function revocationEndpoint(
  options: ClientAuthentication & {
    /** Reads tokens of every audience and scope. */
    tokens: TokenReader
    revocations: TokenRevocations
    denyList: DenyList
    afterPause: () => Promise<void> | undefined
  },
): Handler {
  const { tokens, revocations, denyList, afterPause } = options
  const writes = new MinuteLimit()
  return async (req, res) => {
    const body = await readBody(req, LONGEST_FORM_BYTES)
    const waiting = afterPause()
    if (waiting !== undefined) await waiting
    const form = parseTokenForm({ url: req.url ?? '', headers: req.headers, body })
    const event = eventOf(res)
    const caller = await authenticate(options, form.client(), res, 'POST /oauth/revoke')
    const read = await tokens.read(form.token, caller.at)
    if ('claims' in read && read.claims.sub === caller.keyId && !denyList.denies(read.claims)) {
      const { jti, sub: keyId, tenant: tenantId } = read.claims
      const source = event.source === undefined ? {} : { source: event.source }
      const actor = { id: keyId, requestId: event.requestId, ...source }
      const taken = await writes.take(keyId, MOST_A_MINUTE)
      if (!taken.granted) {
        event.fields.reason = 'too_many_revocations' satisfies RefusalReason
        throw tooMany(taken.retryAfterSeconds)
      }
      await revocations.revokeOwn(actor, { jti, keyId, tenantId })
      event.fields.token_id = jti
    }
    answerJson(res, 200, '{}', HEADERS)
  }
}

function tooMany(retryAfterSeconds: number): OAuthError {
  return new OAuthError('slow_down', 'Too many revocations by this client. Retry later.', {
    status: 429,
    headers: { 'Retry-After': String(retryAfterSeconds) },
  })
}
