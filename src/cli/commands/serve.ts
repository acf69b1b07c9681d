import { launchPrepared, type Prepared, prepare } from '../../service/launch.ts'
import { isMember, startMember } from '../../service/processes/member.ts'
import { startProcesses } from '../../service/processes/processes.ts'
import { standardOutput } from '../../system/log-destination.ts'
import { explain } from '../explain.ts'

interface Stoppable {
  stop(): Promise<void>
}

/**
 * Runs the service until SIGTERM or SIGINT: then it becomes unready at once, requests in flight finish, the embedded
 * database stops last, and the process ends with status 0. With MINTMARK_PROCESSES above 1 this process starts the
 * others, and SIGHUP replaces them one after another.
 */
export async function serve(environment: NodeJS.ProcessEnv): Promise<void> {
  const launching = start(environment)
  onStopSignal(launching)
  await exitOnFailure(launching, environment)
}

async function start(environment: NodeJS.ProcessEnv): Promise<Stoppable> {
  const prepared = prepare(environment)
  const { config, logger } = prepared
  if (config.processes === 1) return launchPrepared(prepared)
  if (isMember(config)) return joinProcesses(prepared)
  const processes = await startProcesses(config, logger)
  process.on('SIGHUP', () => void processes.restart())
  return processes
}

/** It listens only once it is ready. */
async function joinProcesses({ environment, config, logger }: Prepared): Promise<Stoppable> {
  const member = await startMember(config, logger)
  void exitOnFailure(member.ready, environment)
  return member
}

/** Also during startup: everything started by then is stopped. Ctrl-C may be received several times. */
export function onStopSignal(launching: Promise<Stoppable>, stopped: () => void = () => {}): void {
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
export async function exitOnFailure<T>(launching: Promise<T>, environment: NodeJS.ProcessEnv): Promise<T> {
  try {
    return await launching
  } catch (error) {
    process.stderr.write(`mintmark: ${explain(error, environment)}\n`)
    process.exit(1)
  }
}
