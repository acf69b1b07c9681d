import { parseArgs } from 'node:util'

/** The parts of the suite. */
const PARTS = ['rounds', 'outages', 'attackers', 'others', 'sizes', 'istio'] as const
export type Part = (typeof PARTS)[number]

/** `npm run revocations -- …`. Without options: the short form of all parts. */
export interface Options {
  parts: readonly Part[]
  /** Revocations whose time is measured. */
  rounds: number
  partitionSeconds: number
  /** Requests with tokens that are not revoked; 0: as many as are answered in `seconds`. */
  requests: number
  seconds: number
  /** Revocations that come, and entries that end, while they are sent. */
  changes: number
  /** Sizes of the list for which latency and CPU are measured. */
  entries: readonly number[]
  istioRounds: number
}

/** @throws {Error} for what is not known, and for anything that is not a number */
export function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      parts: { type: 'string', default: PARTS.join() },
      rounds: { type: 'string', default: '20' },
      partition: { type: 'string', default: '10' },
      requests: { type: 'string', default: '0' },
      seconds: { type: 'string', default: '30' },
      changes: { type: 'string', default: '200' },
      entries: { type: 'string', default: '0,1000,10000' },
      'istio-rounds': { type: 'string', default: '3' },
    },
  })
  return {
    parts: values.parts.split(',').map(partNamed),
    rounds: whole('rounds', values.rounds),
    partitionSeconds: whole('partition', values.partition),
    requests: whole('requests', values.requests),
    seconds: whole('seconds', values.seconds),
    changes: whole('changes', values.changes),
    entries: values.entries.split(',').map(text => whole('entries', text)),
    istioRounds: whole('istio-rounds', values['istio-rounds']),
  }
}

function partNamed(name: string): Part {
  const part = PARTS.find(each => each === name)
  if (part) return part
  throw new Error(`--parts must be of ${PARTS.join(', ')}, got "${name}"`)
}

function whole(name: string, text: string): number {
  if (/^\d{1,8}$/.test(text)) return Number(text)
  throw new Error(`--${name} must be a whole number, got "${text}"`)
}
