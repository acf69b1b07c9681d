import { until } from '../support/until.ts'
import type { Engine } from './engine.ts'

/** What vLLM has counted since its start, by its own metrics. */
export interface EngineCounters {
  /** `vllm:prompt_tokens_total`: a request for n choices has its prompt n times. */
  prompt: number
  /** `vllm:prompt_tokens_cached_total`. */
  cached: number
  /** `vllm:generation_tokens_total`. */
  generated: number
}

const IDLE_MS = 300_000

/** Once it runs no request, and none waits. @throws {Error} when it counts something by another name, or stays busy */
export async function idleCounters(engine: Engine): Promise<EngineCounters> {
  const text = await until(
    'the engine is idle',
    () => metricsOf(engine),
    page => metric(page, 'num_requests_running') + metric(page, 'num_requests_waiting') === 0,
    IDLE_MS,
  )
  return {
    prompt: metric(text, 'prompt_tokens_total'),
    cached: metric(text, 'prompt_tokens_cached_total'),
    generated: metric(text, 'generation_tokens_total'),
  }
}

/** So many requests run at this moment. */
export const runningRequests = async (engine: Engine): Promise<number> =>
  metric(await metricsOf(engine), 'num_requests_running')

const metricsOf = async (engine: Engine): Promise<string> => (await fetch(`${engine.url}/metrics`)).text()

function metric(page: string, name: string): number {
  const [, value] = new RegExp(`^vllm:${name}\\{\\S* (\\S+)$`, 'm').exec(page) ?? []
  if (value === undefined) throw new Error(`the engine has no vllm:${name}`)
  return Number(value)
}
