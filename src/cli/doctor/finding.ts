/**
 * doctor/ checks a running issuer and a gateway's files from the gateway's point of view. Each file of checks returns
 * findings; commands/doctor.ts prints them.
 */
export interface Finding {
  level: 'ok' | 'note' | 'wrong'
  /** What was checked. */
  check: string
  /** The observation; for `wrong` also the cure. */
  message: string
}

export const ok = (check: string, message: string): Finding => ({ level: 'ok', check, message })
export const note = (check: string, message: string): Finding => ({ level: 'note', check, message })
export const wrong = (check: string, message: string): Finding => ({ level: 'wrong', check, message })
