import { randomBytes, randomInt, randomUUID } from 'node:crypto'

/** The source of randomness. `bytes` and `integer` are cryptographically secure. */
export interface Random {
  bytes(length: number): Buffer
  /** A uniform integer from 0 to `below` - 1. */
  integer(below: number): number
  uuid(): string
}

/** Random bytes cost a system call, so short requests are served from a page. */
const PAGE_BYTES = 4_096
const LONGEST_CUT_BYTES = 16
let page = Buffer.alloc(0)
let used = 0

/** No byte of a page is given twice, so a part of it needs no copy. */
function cutBytes(length: number): Buffer {
  if (page.length - used < length) {
    page = randomBytes(PAGE_BYTES)
    used = 0
  }
  used += length
  return page.subarray(used - length, used)
}

export const systemRandom: Random = {
  bytes: length => (length > LONGEST_CUT_BYTES ? randomBytes(length) : cutBytes(length)),
  integer: below => randomInt(below),
  uuid: () => randomUUID(),
}
