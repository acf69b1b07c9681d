import { Agent, request } from 'node:http'
import { setInterval } from 'node:timers'
import { FloodConnection } from './flood-connection.ts'
import { type FromWorker, type StreamPlan, type ToWorker, UNSENT } from './load.ts'
import { exchangeForm, unknownKey } from './replica.ts'

/**
 * The load process. Open loop: a request is due at its time, independent of the others, and its duration counts from
 * then. Bounded: requests beyond `MOST_UNDER_WAY` are not sent.
 */
const MOST_UNDER_WAY = 2_000
const TICK_MS = 2
const TIMEOUT_MS = 30_000
/** A tick that is this late shows that the process had no CPU: a response may be unread. */
const STALL_MS = 500

/** Milliseconds since the epoch, monotonic. */
const now = () => performance.timeOrigin + performance.now()

class Stream {
  readonly #plan: StreamPlan
  readonly #agent: Agent
  readonly #begun = now()
  /** For each request: its due time, its duration, the status, and whether it had a Retry-After. */
  readonly #samples: number[] = []
  #sent = 0
  #underWay = 0
  readonly #secrets: readonly string[]
  #stopped = false
  /** Replaces the agent, for a flood. */
  readonly #flood: FloodConnection[] = []

  constructor(plan: StreamPlan) {
    this.#plan = plan
    this.#secrets = plan.secrets ?? []
    const { connections, localAddress } = plan
    this.#agent = new Agent({
      keepAlive: !plan.newConnections,
      maxSockets: connections,
      scheduling: 'fifo',
      ...(localAddress && { localAddress }),
    })
    while (plan.floods && this.#flood.length < connections) {
      this.#flood.push(new FloodConnection(plan.urls[0] ?? '', localAddress))
    }
  }

  sendWhatIsDue(): void {
    if (this.#stopped) return
    const interval = 1000 / this.#plan.perSecond
    for (; this.#begun + this.#sent * interval <= now(); this.#sent++)
      this.#send(this.#begun + this.#sent * interval)
  }

  /** Stops sending and waits for requests in progress. */
  async finish(): Promise<Float64Array> {
    this.#stopped = true
    while (this.#underWay > 0) await new Promise(resolve => setTimeout(resolve, 5))
    this.#agent.destroy()
    for (const connection of this.#flood) connection.close()
    return Float64Array.from(this.#samples)
  }

  #send(due: number): void {
    if (this.#plan.floods) return void this.#sendIfFree(due)
    if (this.#underWay >= (this.#plan.mostUnderWay ?? MOST_UNDER_WAY))
      return void this.#samples.push(due, 0, UNSENT, 0)
    this.#underWay++
    const { urls, path, method, headers } = this.#plan
    const body = this.#body()
    let over = false
    const end = (status: number, retryAfter: boolean) => {
      if (over) return
      over = true
      this.#underWay--
      this.#samples.push(due, now() - due, status, retryAfter ? 1 : 0)
    }
    const url = `${urls[this.#sent % urls.length]}${path}`
    const sent = request(
      url,
      {
        method,
        agent: this.#agent,
        timeout: TIMEOUT_MS,
        headers: { ...headers, ...(body && { 'content-length': body.length }) },
      },
      answer => {
        answer.resume()
        answer.once('end', () => end(answer.statusCode ?? 0, answer.headers['retry-after'] !== undefined))
        answer.once('error', () => end(0, false))
      },
    )
    sent.once('timeout', () => {
      end(stalledAt > due ? UNSENT : 0, false)
      sent.destroy(new Error('no answer in time'))
    })
    sent.once('error', () => end(0, false)).end(body)
  }

  #sendIfFree(due: number): void {
    const free = this.#flood.find(each => each.free)
    if (!free) return
    this.#underWay++
    free.post(this.#plan.path, this.#body() ?? '', (status, retryAfter) => {
      this.#underWay--
      this.#samples.push(due, now() - due, status, retryAfter ? 1 : 0)
    })
  }

  #body(): string | undefined {
    const { form } = this.#plan
    if (form === 'known key') return exchangeForm(this.#secrets[this.#sent % this.#secrets.length] ?? '')
    return form === 'unknown key' ? exchangeForm(unknownKey()) : undefined
  }
}

const streams = new Map<string, Stream>()
let [tickedAt, stalledAt] = [now(), Number.NEGATIVE_INFINITY]
const ticking = setInterval(() => {
  if (now() - tickedAt > STALL_MS) stalledAt = now()
  tickedAt = now()
  for (const stream of streams.values()) stream.sendWhatIsDue()
}, TICK_MS)

process.on('message', async (message: ToWorker) => {
  if (message.type === 'start') for (const plan of message.streams) streams.set(plan.name, new Stream(plan))
  if (message.type === 'stop') {
    const results = await Promise.all(
      [...streams].map(async ([name, stream]) => [name, await stream.finish()] as const),
    )
    clearInterval(ticking)
    const answer: FromWorker = { samples: Object.fromEntries(results) }
    process.send?.(answer, undefined, undefined, () => process.disconnect?.())
  }
})
process.once('disconnect', () => process.exit())
