import { createHash } from 'node:crypto'
import { PreconditionFailed } from '../errors.ts'

/**
 * The version of a stored object: 22 characters that differ when its state does. `state` must contain everything that
 * an update may overwrite, and nothing that changes by itself, such as a last use.
 */
export const versionOf = (state: object): string =>
  createHash('sha256').update(JSON.stringify(state)).digest('base64url').slice(0, 22)

/** Versions named by a request; `*` matches any. */
type Versions = '*' | readonly string[]

/** Preconditions of a request on the version of its object (RFC 9110 §13.1). */
export interface Precondition {
  /** The object must exist, with one of these versions. */
  ifMatch?: Versions
  /** The object must have none of these versions; with `*` it must not exist. */
  ifNoneMatch?: Versions
}

/** `version` is undefined when the object does not exist. @throws {PreconditionFailed} */
export function requireVersion(precondition: Precondition, version: string | undefined): void {
  const { ifMatch, ifNoneMatch } = precondition
  if (ifMatch !== undefined && !isAmong(ifMatch, version)) throw new PreconditionFailed(version)
  if (ifNoneMatch !== undefined && isAmong(ifNoneMatch, version)) throw new PreconditionFailed(version)
}

const isAmong = (versions: Versions, version: string | undefined): boolean =>
  version !== undefined && (versions === '*' || versions.includes(version))
