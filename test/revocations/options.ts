import { parseArgs } from 'node:util'

/** `npm run revocations -- --rounds 500 --partition 60 --entries 0,1000,10000,100000`. Without options: the short form. */
export interface Options {
  rounds: number
  partitionSeconds: number
  /** Sizes of the list for which latency and CPU are measured. */
  entries: readonly number[]
}

/** @throws {Error} for anything that is not a number */
export function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '20' },
      partition: { type: 'string', default: '10' },
      entries: { type: 'string', default: '0,1000,10000' },
    },
  })
  return {
    rounds: whole('rounds', values.rounds),
    partitionSeconds: whole('partition', values.partition),
    entries: values.entries.split(',').map(text => whole('entries', text)),
  }
}

function whole(name: string, text: string): number {
  if (/^\d{1,7}$/.test(text)) return Number(text)
  throw new Error(`--${name} must be a whole number, got "${text}"`)
}
