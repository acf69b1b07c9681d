/** Credentials that are not right, whatever they were before: some alterations leave one in 62 or 64 as it was. */

/** With another last character. */
export const withAnotherEnd = (text: string): string => text.replace(/.$/, last => (last === 'x' ? 'y' : 'x'))

/** A JWT with another signature. The first character: of the last one some bits count for nothing. */
export const withAnotherSignature = (jwt: string): string =>
  jwt.replace(/[^.](?=[^.]*$)/, first => (first === 'A' ? 'B' : 'A'))
