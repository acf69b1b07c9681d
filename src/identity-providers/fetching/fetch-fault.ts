/** Why keys of an issuer could not be fetched, for operators. It has nothing of the answer but what was expected of it. */
export class FetchFault extends Error {
  override readonly name = 'FetchFault'
}
