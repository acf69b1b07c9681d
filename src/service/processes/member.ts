import cluster from 'node:cluster'
import { once } from 'node:events'
import type { Config } from '../../config/config.ts'
import { systemClock } from '../../system/clock.ts'
import { standardOutput } from '../../system/log-destination.ts'
import type { Logger } from '../../system/logger.ts'
import { withTimeout } from '../../system/timeout.ts'
import { type Service, startService } from '../service.ts'
import type { FromMember, ToMember } from './messages.ts'

const REPORT_MS = 500
const LAST_WORDS_MS = 2_000

/** True in a process that `startProcesses` started. It ends when its parent does. */
export const isMember = ({ processes }: Config): boolean => processes > 1 && cluster.isWorker

export interface Member {
  /** Rejects when it cannot listen. */
  ready: Promise<void>
  /** Drains, and sends the parent what it counted. */
  stop(): Promise<void>
}

/** Starts the service as one of several processes, which reports to its parent. */
export async function startMember(config: Config, logger: Logger): Promise<Member> {
  standardOutput().share()
  const number = await numberOfThisProcess()
  const service = await startService(config, { logger: logger.child({ process: number }), isMember: true })
  const reportState = () => send(stateOf(service))
  let isReplaced = false
  process.on('message', (message: ToMember) => {
    if (message.type === 'measure') void sendMetrics(service, message.id)
    if (message.type !== 'leave') return
    isReplaced = true
    process.kill(process.pid, 'SIGTERM')
  })
  reportState()
  const ready = service.ready.then(reportState)
  const stopReports = systemClock.every(REPORT_MS, async () => reportState())
  return {
    ready,
    stop: async () => {
      const stopping = service.stop({ isReplaced })
      reportState()
      await stopping
      stopReports()
      // The answer also means that the parent sends no more connections.
      const ended = nextMessage('end')
      await sendMetrics(service)
      await withTimeout(systemClock, LAST_WORDS_MS, ended)
    },
  }
}

async function numberOfThisProcess(): Promise<number> {
  const [begin] = (await once(process, 'message')) as [Extract<ToMember, { type: 'begin' }>]
  return begin.process
}

function nextMessage(type: ToMember['type']): Promise<void> {
  return new Promise(resolve => {
    process.on('message', (message: ToMember) => {
      if (message.type === type) resolve()
    })
  })
}

const stateOf = ({ isReady, reason, warning, addresses }: Service): FromMember => ({
  type: 'state',
  ready: isReady,
  reason,
  warning,
  addresses,
})

async function sendMetrics({ metrics }: Service, id?: number): Promise<void> {
  send({ type: 'metrics', snapshot: await metrics.snapshot(), ...(id !== undefined && { id }) })
}

function send(message: FromMember): void {
  if (process.connected) process.send?.(message)
}
