import { readFileSync } from 'node:fs'

/** The file that operators load, as its text. */
export const ALERTS_FILE = new URL('../../deploy/observability/mintmark-alerts.yaml', import.meta.url)
  .pathname
export const alertsText = readFileSync(ALERTS_FILE, 'utf8')

/** The names of all alerts, in order. */
export const alertNames = [...alertsText.matchAll(/^ {6}- alert: (\w+)$/gm)].map(([, name = '']) => name)
