import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { Unavailable } from '../errors.ts'
import { RequestError } from '../http/request-error.ts'
import type { AcceptedBy } from '../usage/usage-record.ts'
import type { RecordBatch } from '../usage/usage-record-batch.ts'
import type { Report } from './read-report.ts'
import { UnreadableReport } from './unreadable-report.ts'

/** A report for the thread, and its number among those of this process. The body is moved there: nothing else of its memory is. */
export interface ReportQuestion {
  number: number
  report: Omit<Report, 'body'> & { body: Uint8Array<ArrayBuffer> }
  by: AcceptedBy
}

/** The result: its records, or an error. Classes of errors do not pass between threads. */
export type ReportResult = { number: number } & (
  | { batches: RecordBatch[] }
  | { unreadable: string }
  | { status: number; message: string }
  | { fault: unknown }
)

// The build is JavaScript.
const THREAD = new URL(`report-thread${extname(import.meta.url)}`, import.meta.url)

/**
 * Reads reports in a thread of its own, so that exchanges wait neither for the reading nor for its garbage collection
 * (docs/decisions/0043-a-thread-for-usage.md). The thread starts with the first report, and again after it has ended.
 */
export class ReportReader {
  #thread: Worker | undefined
  #number = 0
  readonly #reading = new Map<number, PromiseWithResolvers<RecordBatch[]>>()

  /** @throws {UnreadableReport} @throws {RequestError} 413 @throws {Unavailable} when the thread has ended, or cannot start */
  async read(report: Report, by: AcceptedBy): Promise<RecordBatch[]> {
    const number = ++this.#number
    const reading = Promise.withResolvers<RecordBatch[]>()
    const body = new Uint8Array(report.body)
    const question: ReportQuestion = { number, report: { ...report, body }, by }
    try {
      this.#thread ??= this.#start()
      this.#thread.postMessage(question, [body.buffer])
    } catch (cause) {
      throw unreadNow(cause)
    }
    this.#reading.set(number, reading)
    return reading.promise
  }

  async close(): Promise<void> {
    await this.#thread?.terminate()
  }

  #start(): Worker {
    // It needs no variable, and no option that this thread was started with.
    const thread = new Worker(THREAD, { name: 'usage reports', env: {}, execArgv: [] })
    // Alone it keeps no process from ending.
    thread.unref()
    let cause: unknown
    thread.on('message', (result: ReportResult) => this.#settle(result))
    thread.on('error', error => {
      cause ??= error
    })
    // A result that does not arrive would be waited for.
    thread.on('messageerror', error => {
      cause ??= error
      void thread.terminate()
    })
    thread.once('exit', () => {
      this.#thread = undefined
      for (const { reject } of this.#reading.values()) reject(unreadNow(cause))
      this.#reading.clear()
    })
    return thread
  }

  #settle(result: ReportResult): void {
    const reading = this.#reading.get(result.number)
    this.#reading.delete(result.number)
    if (!reading) return
    if ('batches' in result) reading.resolve(result.batches)
    else if ('unreadable' in result) reading.reject(new UnreadableReport(result.unreadable))
    else if ('status' in result) reading.reject(new RequestError(result.status, result.message))
    else reading.reject(result.fault)
  }
}

/** Our own fault, so the sender is to repeat the report. */
const unreadNow = (cause: unknown) => new Unavailable('The report could not be read. Retry.', { cause })
