/**
 * doctor/ looks at a running issuer, and at a gateway's files, from where a gateway stands. Each file of checks returns
 * findings; commands/doctor.ts prints them.
 */
export interface Finding {
  level: 'ok' | 'note' | 'wrong'
  /** What was looked at. */
  check: string
  /** What was seen; for `wrong` also what cures it. */
  message: string
}

export const ok = (check: string, message: string): Finding => ({ level: 'ok', check, message })
export const note = (check: string, message: string): Finding => ({ level: 'note', check, message })
export const wrong = (check: string, message: string): Finding => ({ level: 'wrong', check, message })
