/**
 * doctor/ checks an installation: the issuer, the service, its database and configuration, listeners and gateways. Each file
 * of checks returns findings; commands/doctor.ts prints them.
 */
export interface Finding {
  /** `note`: not checked, or for information. `warning`: works, but not well or not for long. `fault`: to be cured now. */
  level: 'ok' | 'note' | 'warning' | 'fault'
  /** What was checked. */
  check: string
  /** The observation. */
  message: string
  /** What to do; null for `ok` and `note`. */
  cure: string | null
}

export const ok = (check: string, message: string): Finding => ({ level: 'ok', check, message, cure: null })
export const note = (check: string, message: string): Finding => ({
  level: 'note',
  check,
  message,
  cure: null,
})
export const warning = (check: string, message: string, cure: string): Finding => ({
  level: 'warning',
  check,
  message,
  cure,
})
export const fault = (check: string, message: string, cure: string): Finding => ({
  level: 'fault',
  check,
  message,
  cure,
})
