import { type Launched, launch } from '../../service/launch.ts'
import { standardOutput } from '../../system/log-destination.ts'
import { explain } from '../explain.ts'

/**
 * Runs the service until SIGTERM or SIGINT: then it becomes unready at once, requests in flight finish, the embedded
 * database stops last, and the process ends with status 0.
 */
export async function serve(environment: NodeJS.ProcessEnv): Promise<void> {
  const launching = launch(environment)
  onStopSignal(launching)
  await exitOnFailure(launching, environment)
}

/** Also during startup: everything started by then is stopped. Ctrl-C may be received several times. */
export function onStopSignal(launching: Promise<Launched>, stopped: () => void = () => {}): void {
  let stopping = false
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stopping) return
      stopping = true
      launching
        .then(launched => launched.stop())
        .then(stopped)
        .finally(() => standardOutput().flush())
        .then(
          () => process.exit(0),
          () => process.exit(1),
        )
    })
  }
}

/** Ends the process with status 1 when it cannot start. */
export async function exitOnFailure(
  launching: Promise<Launched>,
  environment: NodeJS.ProcessEnv,
): Promise<Launched> {
  try {
    return await launching
  } catch (error) {
    process.stderr.write(`mintmark: ${explain(error, environment)}\n`)
    process.exit(1)
  }
}
