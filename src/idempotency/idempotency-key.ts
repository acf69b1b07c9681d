/**
 * idempotency/ lets a request be repeated without being done twice: what was done under a key is written in the
 * transaction of the change itself, so that neither can be there without the other. docs/decisions/0012-administration.md
 */

/** A name that a client gave to one request; it is its own for an actor, a method and a path. */
export interface IdempotencyKey {
  actor: string
  method: string
  path: string
  key: string
  /** SHA-256 of what was asked, 32 bytes: the same key never stands for two requests. */
  bodyDigest: Buffer
}

/** What came of a request that was done. */
export interface AnsweredOnce {
  /** What it changed first; undefined when nothing changed. */
  target: { kind: string; id: string } | undefined
  /** What was answered, without its secret; undefined when the process ended before it had told. */
  answer: object | undefined
}
