import type { Policy } from '../installation/policy.ts'
import type { KeyRing } from './key-ring.ts'
import { LARGEST_CLOCK_DIFFERENCE_SECONDS } from './signing-keys.ts'

/** A problem with the signing keys that needs a person. Fields are for the log. */
export interface Alarm {
  id: string
  message: string
  fields: Record<string, string | number>
}

const CLOCK_ALARM_SECONDS = 5
/** After a rotation the next standby is published within seconds; a tenth of the lead is a generous limit. */
const GRACE_SHARE_OF_LEAD = 0.1

/**
 * The problems at `now` (database time in epoch milliseconds) as this process sees them, with or without the database:
 * clocks that differ, and a key that will not be replaced in time.
 */
export function keyAlarms(ring: KeyRing, policy: Policy, now: number, hostAheadSeconds: number): Alarm[] {
  return [...clockAlarms(hostAheadSeconds), ...successionAlarms(ring, policy, now)]
}

function clockAlarms(hostAheadSeconds: number): Alarm[] {
  const seconds = Math.round(Math.abs(hostAheadSeconds) * 10) / 10
  if (seconds < CLOCK_ALARM_SECONDS) return []
  const stopped = seconds >= LARGEST_CLOCK_DIFFERENCE_SECONDS
  const message = `the clock of this host is ${seconds} s ${hostAheadSeconds > 0 ? 'ahead of' : 'behind'} the clock of the database`
  const consequence = stopped ? ': this replica does not rotate signing keys until they agree' : ''
  return [
    {
      id: stopped ? 'clock-stops-rotation' : 'clock',
      message: message + consequence,
      fields: { hostAheadSeconds },
    },
  ]
}

function successionAlarms(ring: KeyRing, policy: Policy, now: number): Alarm[] {
  return ring.algs.flatMap(alg => {
    const signer = ring.signer(alg, now)
    const next = ring.keys.some(key => key.alg === alg && key.state === 'standby' && key.kid !== signer?.kid)
    const graceMs = policy.publishLeadSeconds * 1000 * GRACE_SHARE_OF_LEAD
    if (!signer || next || signer.held || now < signer.activatesAt + graceMs) return []
    const due = new Date(signer.activatesAt + policy.rotationIntervalSeconds * 1000).toISOString()
    const message = 'this replica knows no standby signing key: it keeps signing with the active one'
    return [{ id: `no-successor-${alg}`, message, fields: { alg, kid: signer.kid, due } }]
  })
}
