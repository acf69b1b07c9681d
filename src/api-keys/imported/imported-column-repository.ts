import { sql } from 'kysely'

/**
 * Columns of an imported secret `s`, cut to what Mintmark writes at most: a forged value of any size takes no more memory
 * than a genuine one. One that was cut has a wrong seal.
 */
export const boundedHash = sql<string | null>`left(s.hash, 256)`
export const boundedSealedWith = sql<string | null>`left(s.sealed_with, 128)`
export const boundedSeal = sql<Buffer | null>`substr(s.seal, 1, 64)`
