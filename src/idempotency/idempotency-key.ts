/**
 * idempotency/ lets a request be repeated without being executed twice: the result under a key is written in the
 * transaction of the change, so that neither exists without the other. docs/decisions/0012-administration.md
 */

/** A client's name for one request, unique per actor, method and path. */
export interface IdempotencyKey {
  actor: string
  method: string
  path: string
  key: string
  /** SHA-256 of the request, 32 bytes: a key cannot be reused for another request. */
  bodyDigest: Buffer
}

/** The result of an executed request. */
export interface AnsweredOnce {
  /** The first changed object; undefined when nothing changed. */
  target: { kind: string; id: string } | undefined
  /** The response without its secret; undefined when the process ended before it was stored. */
  answer: object | undefined
}
