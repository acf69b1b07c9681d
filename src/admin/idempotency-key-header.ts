import { createHash } from 'node:crypto'
import type { Request } from 'express'
import { Invalid } from '../errors.ts'
import type { AnsweredOnce, IdempotencyKey } from '../idempotency/idempotency-key.ts'
import type { IdempotencyKeys } from '../idempotency/idempotency-keys.ts'
import type { Admin } from './admin-auth.ts'
import type { AdminAnswer } from './answer.ts'
import { SET_HEADER } from './sets/set-header.ts'

/** Idempotency-Key of a POST: executed once, replayed when repeated. */

/**
 * The key; undefined without one, or for methods that are idempotent by definition. @throws {Invalid} for a malformed
 * key.
 */
export function idempotencyKeyOf(req: Request, admin: Admin): IdempotencyKey | undefined {
  const key = req.headers['idempotency-key']
  if (key === undefined || req.method !== 'POST') return undefined
  if (typeof key !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(key)) {
    const message = 'must be 1 to 255 printable ASCII characters without spaces'
    throw new Invalid([{ pointer: '', message: `Invalid header Idempotency-Key: it ${message}` }])
  }
  const query = req.originalUrl.split('?')[1] ?? ''
  const body: Buffer = Buffer.isBuffer(req.body) ? req.body : Buffer.alloc(0)
  // The same path for another set is another request. A query contains no space.
  const set = req.get(SET_HEADER)
  const line = set === undefined ? query : `${query} ${set}`
  const bodyDigest = createHash('sha256').update(`${line}\n`).update(body).digest()
  return { actor: admin.id, method: req.method, path: req.path, key, bodyDigest }
}

/** Stores the response for replays, without its secret. A failure to store it is not an error: see `repeated`. */
export async function keepAnswer(
  keys: IdempotencyKeys,
  key: IdempotencyKey,
  { status, location, body, version }: AdminAnswer,
): Promise<void> {
  const kept = { status, location, version, ...(body && { body: withoutSecret(body) }) }
  await keys.answered(key, kept).catch(() => {})
}

/** The response to a repeated request: the stored one, or the current state of the changed object. */
export async function repeated(
  { answer, target }: AnsweredOnce,
  issuesSecret: boolean,
  reread: () => Promise<AdminAnswer | undefined>,
): Promise<AdminAnswer> {
  if (answer) return answer as AdminAnswer
  const now = await reread()
  const body = now?.body ?? { target: target ?? null }
  return { ...now, status: 200, body: issuesSecret ? { ...body, ...gone(body) } : body }
}

function withoutSecret(body: object): object {
  if (!('secret' in body)) return body
  const { secret: _secret, ...rest } = body
  return { ...rest, ...gone(rest) }
}

function gone(body: object) {
  const id = 'id' in body ? String(body.id) : ''
  const advice = id.startsWith('key_')
    ? `Rotate the key to get a new secret: POST /admin/v1/keys/${id}/rotate`
    : id.startsWith('rep_')
      ? `Rotate the usage reporter to get a new secret: POST /admin/v1/usage-reporters/${id}/rotate`
      : `Create a new token, and revoke this one: POST /admin/v1/admin-tokens/${id}/revoke`
  return {
    secret_available: false,
    secret_advice: `The secret was returned once, in the first response. ${advice}`,
  }
}
