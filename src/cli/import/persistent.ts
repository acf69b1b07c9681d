import { systemClock } from '../../system/clock.ts'
import { CliError, EXIT } from '../exit-codes.ts'

const TRIES = 8
const PAUSE_MS = 1_000

/** The result of `call`, which must be safe to repeat: it is repeated while the service is unavailable, for some seconds. */
export async function persistent<T>(call: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await call()
    } catch (error) {
      const isUnavailable = error instanceof CliError && error.exitCode === EXIT.unavailable
      if (!isUnavailable || tries === TRIES) throw error
      await systemClock.sleep(PAUSE_MS)
    }
  }
}
