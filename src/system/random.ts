import { randomBytes, randomInt, randomUUID } from 'node:crypto'

/** Where chance comes in. `bytes` and `integer` are cryptographically secure. */
export interface Random {
  bytes(length: number): Buffer
  /** A uniform integer from 0 to `below` - 1. */
  integer(below: number): number
  uuid(): string
}

export const systemRandom: Random = {
  bytes: length => randomBytes(length),
  integer: below => randomInt(below),
  uuid: () => randomUUID(),
}
