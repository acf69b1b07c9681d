/**
 * Kinds of failures. `address`: it may not be connected to. `document`: an answer that is not as expected. `token`: the fetch
 * token cannot be decrypted. `cluster`: the files of the pod's service account cannot be read.
 */
export const FETCH_FAULTS = [
  'url',
  'name',
  'address',
  'connection',
  'timeout',
  'status',
  'size',
  'document',
  'keys',
  'token',
  'cluster',
] as const
export type FetchFaultKind = (typeof FETCH_FAULTS)[number]

/** Why keys of an issuer could not be fetched, for operators. It has nothing of the answer but what was expected of it. */
export class FetchFault extends Error {
  override readonly name = 'FetchFault'
  readonly kind: FetchFaultKind

  constructor(kind: FetchFaultKind, message: string) {
    super(message)
    this.kind = kind
  }
}
