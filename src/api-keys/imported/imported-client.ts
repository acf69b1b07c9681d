/**
 * A client imported from another system: it keeps its client_id and its secret, of which Mintmark stores a hash. It is
 * an API key like any other, with another kind of secret. docs/guides/import.md
 */

/** Summary of the imported clients. */
export interface Imports {
  /** The highest cost of the bcrypt hashes; null when there are none. */
  highestCost: number | null
}

/** RFC 6749 Appendix A.1, without the space. */
export const IMPORTED_CLIENT_ID = /^[!-~]{1,128}$/

const PREFIX = 'client:'

/** The directory's name for an imported client; no digest looks like it. */
export const clientName = (clientId: string): string => PREFIX + clientId
export const isClientName = (name: string): boolean => name.startsWith(PREFIX)
export const clientIdOf = (name: string): string => name.slice(PREFIX.length)
