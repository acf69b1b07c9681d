/**
 * A client that another system made: it goes on using the client_id and the secret that it has, of which we were given
 * a hash. It is an API key like any other, with a secret of another kind. docs/guides/import.md
 */

/** What is known of imported clients as a whole. */
export interface Imports {
  /** The cost that most bcrypt hashes have; null when none is one. */
  commonCost: number | null
}

/** RFC 6749 Appendix A.1, without the space. */
export const IMPORTED_CLIENT_ID = /^[!-~]{1,128}$/

const PREFIX = 'client:'

/** What the directory knows an imported client by; no digest looks like it. */
export const clientName = (clientId: string): string => PREFIX + clientId
export const isClientName = (name: string): boolean => name.startsWith(PREFIX)
export const clientIdOf = (name: string): string => name.slice(PREFIX.length)
