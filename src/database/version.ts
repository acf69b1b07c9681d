import { createHash } from 'node:crypto'
import { PreconditionFailed } from '../errors.ts'

/**
 * The version of a stored object: 22 characters that differ when its state does. `state` must be all that a change of
 * the object may overwrite, and nothing that changes by itself, such as a last use.
 */
export const versionOf = (state: object): string =>
  createHash('sha256').update(JSON.stringify(state)).digest('base64url').slice(0, 22)

/** Versions that a request names; `*` stands for any. */
type Versions = '*' | readonly string[]

/** What a request demands of the version of the object that it is about (RFC 9110 §13.1). */
export interface Precondition {
  /** It must be there, and be of one of these. */
  ifMatch?: Versions
  /** It must be of none of these; with `*` it must not be there. */
  ifNoneMatch?: Versions
}

/** `version` is undefined when there is no such object. @throws {PreconditionFailed} */
export function requireVersion(precondition: Precondition, version: string | undefined): void {
  const { ifMatch, ifNoneMatch } = precondition
  if (ifMatch !== undefined && !isAmong(ifMatch, version)) throw new PreconditionFailed(version)
  if (ifNoneMatch !== undefined && isAmong(ifNoneMatch, version)) throw new PreconditionFailed(version)
}

const isAmong = (versions: Versions, version: string | undefined): boolean =>
  version !== undefined && (versions === '*' || versions.includes(version))
