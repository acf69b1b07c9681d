import { ConfigError } from '../../config/env.ts'
import { type Launched, launch } from '../../service/launch.ts'

/**
 * Runs the service until SIGTERM or SIGINT: then it is unready at once, requests in flight finish, the embedded
 * database stops last, and the process ends with status 0.
 */
export async function serve(environment: NodeJS.ProcessEnv): Promise<void> {
  const launching = launch(environment)
  onStopSignal(launching)
  await exitOnFailure(launching)
}

/** Also while starting: what has been started by then is stopped. */
export function onStopSignal(launching: Promise<Launched>, stopped: () => void = () => {}): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      launching
        .then(launched => launched.stop())
        .then(stopped)
        .then(
          () => process.exit(0),
          () => process.exit(1),
        )
    })
  }
}

/** What the operator can cure is said in its own words; a stack is for what nobody foresaw. */
export async function exitOnFailure(launching: Promise<Launched>): Promise<Launched> {
  try {
    return await launching
  } catch (error) {
    const { message, stack, code } = error as NodeJS.ErrnoException
    const foreseen = error instanceof ConfigError || code === undefined
    process.stderr.write(`mintmark: ${foreseen ? message : (stack ?? message)}\n`)
    process.exit(1)
  }
}
