import type { ReadRecord, Rejection, UsageRecord } from './usage-record.ts'

/** Bounds the time of one transaction. */
const RECORDS_A_TRANSACTION = 500

/** Number of rejected records by reason. */
export type Rejections = Partial<Record<Rejection, number>>

/** The columns of usage_records, each an array of Postgres in its text form. */
export type RecordColumns = Record<keyof UsageRecord, string>

/** Records of a report that are counted in one transaction. */
export interface RecordBatch {
  /** Of the records that can be counted. One may be in the batch several times. */
  columns: RecordColumns
  /** Number of these records. */
  readable: number
  ignored: number
  rejected: Rejections
}

/** In the order of the report. */
export function batchesOf(read: readonly ReadRecord[]): RecordBatch[] {
  const batches: RecordBatch[] = []
  for (let begin = 0; begin < read.length; begin += RECORDS_A_TRANSACTION)
    batches.push(batchOf(read.slice(begin, begin + RECORDS_A_TRANSACTION)))
  return batches
}

function batchOf(read: readonly ReadRecord[]): RecordBatch {
  const rejected: Rejections = {}
  const records: UsageRecord[] = []
  let ignored = 0
  for (const one of read) {
    if (one === 'ignored') ignored++
    else if ('rejected' in one) addTo(rejected, { [one.rejected]: 1 })
    else records.push(one.record)
  }
  return { columns: columnsOf(records), readable: records.length, ignored, rejected }
}

export function addTo(sum: Rejections, more: Rejections): void {
  for (const [name, count] of Object.entries(more) as [Rejection, number][])
    sum[name] = (sum[name] ?? 0) + count
}

function columnsOf(records: readonly UsageRecord[]): RecordColumns {
  const column = (name: keyof UsageRecord) => arrayText(records.map(record => record[name]))
  return {
    id: column('id'),
    hour: column('hour'),
    tenantId: column('tenantId'),
    keyId: column('keyId'),
    model: column('model'),
    refused: column('refused'),
    estimated: column('estimated'),
    inputTokens: column('inputTokens'),
    cachedInputTokens: column('cachedInputTokens'),
    outputTokens: column('outputTokens'),
  }
}

/** https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO: text in quotes, with a backslash before quotes and backslashes. */
function arrayText(values: readonly (string | number | boolean)[]): string {
  const text = (value: string) => `"${value.replaceAll(/["\\]/g, '\\$&')}"`
  return `{${values.map(value => (typeof value === 'string' ? text(value) : value)).join()}}`
}
