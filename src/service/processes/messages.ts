import type { Snapshot } from '../../system/merged-metrics.ts'
import type { Addresses } from '../listeners.ts'

/** From the parent to one of its processes. */
export type ToMember =
  /** The first message: its number, which its successor has too. */
  | { type: 'begin'; process: number }
  | { type: 'measure'; id: number }
  /** Its successor is ready: it drains and ends, and accepts no more connections. */
  | { type: 'leave' }
  /** Everything that the process sent has arrived. */
  | { type: 'end' }

/** From a process to its parent. */
export type FromMember =
  /** At least every 500 ms. */
  | { type: 'state'; ready: boolean; reason: string; warning: string; addresses: Addresses }
  /** The answer to `measure`; without an id the last one. */
  | { type: 'metrics'; id?: number; snapshot: Snapshot }
