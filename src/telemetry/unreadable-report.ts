/** A report that cannot be read, or is beyond the bounds: the same report never becomes acceptable. */
export class UnreadableReport extends Error {
  override readonly name = 'UnreadableReport'
}

/** Of one report. Beyond them it is rejected as a whole. */
export const MOST_RECORDS = 10_000
/** Resources and scopes of one report: many empty ones would be read for long at once. */
export const MOST_GROUPS = 10_000
export const tooManyGroups = () =>
  new UnreadableReport(`The report has more than ${MOST_GROUPS} resources and scopes. Send smaller batches.`)
/** Of one record. */
export const MOST_ATTRIBUTES = 128
/** Members of a list that is the value of an attribute: an audience of a token. */
export const MOST_MEMBERS = 100
/** Of a value that is read. */
export const LONGEST_VALUE = 4_096
