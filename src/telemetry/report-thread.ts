import { constants, getPriority, setPriority } from 'node:os'
import { parentPort } from 'node:worker_threads'
import { RequestError } from '../http/request-error.ts'
import { readReport } from './read-report.ts'
import type { ReportQuestion, ReportResult } from './report-reader.ts'
import { UnreadableReport } from './unreadable-report.ts'

/** The thread of report-reader.ts: reads one report after another. */

/** As of nice(1). This thread still gets a tenth of a core that exchanges keep busy. */
const NICENESS = 10
// Where cores are few, exchanges go first. Only Linux has priorities of threads; elsewhere this would be the process's.
if (process.platform === 'linux') lowerPriority()

parentPort?.on('message', (question: ReportQuestion) => parentPort?.postMessage(resultOf(question)))
parentPort?.on('messageerror', error => {
  throw error
})

function lowerPriority(): void {
  try {
    setPriority(Math.min(getPriority() + NICENESS, constants.priority.PRIORITY_LOW))
  } catch {
    // A sandbox forbids it: reports are read all the same.
  }
}

function resultOf({ number, report, by }: ReportQuestion): ReportResult {
  try {
    const body = Buffer.from(report.body.buffer)
    return { number, batches: readReport({ ...report, body }, by) }
  } catch (error) {
    if (error instanceof UnreadableReport) return { number, unreadable: error.message }
    if (error instanceof RequestError) return { number, status: error.status, message: error.message }
    return { number, fault: error }
  }
}
