import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdirSync, openSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../support/free-port.ts'

const HOME = join(process.env.MINTMARK_CACHE ?? join(homedir(), '.cache', 'mintmark'), 'engine')

/** The engine's Python, which has OpenAI's and Anthropic's clients, because vLLM needs them. */
export const ENGINE_PYTHON = join(HOME, 'python/bin/python')

/** The base model, and the adapters of make_model.py. */
export const BASE = 'llama-3-8b'
export const ADAPTERS = ['acme-sql', 'blue-chat'] as const

/** How long vLLM may take to start: one to three minutes on two quiet cores. */
const START_MS = 20 * 60_000
const STOP_MS = 30_000

/** No request to the internet, one thread, a small cache; without compiled modules every start takes minutes. */
const ENVIRONMENT = {
  PYTHONDONTWRITEBYTECODE: '',
  HF_HUB_OFFLINE: '1',
  TRANSFORMERS_OFFLINE: '1',
  VLLM_NO_USAGE_STATS: '1',
  DO_NOT_TRACK: '1',
  VLLM_CPU_KVCACHE_SPACE: '1',
  VLLM_PLUGINS: '',
  OMP_NUM_THREADS: '1',
  VLLM_CPU_OMP_THREADS_BIND: 'nobind',
  CUDA_VISIBLE_DEVICES: '',
  // Off by default, and what the gateway must keep apart.
  VLLM_ENABLE_RESPONSES_API_STORE: '1',
}

const LORA = [
  ...['--enable-lora', '--max-lora-rank', '8', '--lora-modules'],
  ...ADAPTERS.map(name => `${name}=${join(HOME, 'model', name)}`),
]
/** Every answer and every event of a stream has the engine's own count, with what came from its prefix cache. */
export const FORCED_USAGE = ['--enable-force-include-usage', '--enable-prompt-tokens-details']
const POOLING = ['--runner', 'pooling', '--convert', 'embed']

export interface Engine {
  port: number
  url: string
  stop(): Promise<void>
}

/** Installs vLLM and its model where that is not done yet. Returns why this machine cannot run it. @throws {Error} */
export function installEngine(): string | undefined {
  const script = new URL('../../scripts/install-engine.sh', import.meta.url).pathname
  const { status, stderr } = spawnSync('bash', [script], { encoding: 'utf8' })
  if (status === 3) return stderr.trim().split('\n').at(-1)
  if (status !== 0) throw new Error(`${script} ended with ${status}: ${stderr}`)
  return undefined
}

/**
 * Starts vLLM with priority scheduling and one request at a time, so that a queue forms. `pooling`: for embeddings, without
 * adapters. MINTMARK_ENGINE_URL names one that runs already, and is not stopped: a start takes minutes.
 * @throws {Error} when it does not start, with the end of its log
 */
export async function startEngine(options: {
  runner: 'generate' | 'pooling'
  flags?: readonly string[]
  env?: Record<string, string>
}): Promise<Engine> {
  const { runner, flags = [], env = {} } = options
  const running = process.env.MINTMARK_ENGINE_URL
  if (running) return { port: Number(new URL(running).port), url: running, stop: async () => {} }
  const port = await freePort()
  // Python looks for modules in the working directory first.
  const folder = join(HOME, 'home')
  mkdirSync(folder, { recursive: true })
  const logFile = join(HOME, `${runner}.log`)
  const output = openSync(logFile, 'w')
  const child = spawn(
    ENGINE_PYTHON,
    [
      ...['-m', 'vllm.entrypoints.openai.api_server', '--model', join(HOME, 'model/base')],
      ...['--served-model-name', BASE, '--host', '127.0.0.1', '--port', String(port)],
      ...['--dtype', 'float32', '--enforce-eager', '--max-model-len', '2048', '--max-num-seqs', '1'],
      ...['--scheduling-policy', 'priority', ...(runner === 'pooling' ? POOLING : LORA), ...flags],
    ],
    {
      // Its workers are in its process group, and end with it.
      detached: true,
      cwd: folder,
      env: { ...process.env, ...ENVIRONMENT, ...env },
      stdio: ['ignore', output, output],
    },
  )
  let stopped: Promise<void> | undefined
  const stop = () => {
    stopped ??= endGroup(child)
    return stopped
  }
  const url = `http://127.0.0.1:${port}`
  try {
    await healthy(child, url)
  } catch (cause) {
    await stop()
    throw new Error(`vLLM does not start: ${readFileSync(logFile, 'utf8').slice(-4_000)}`, { cause })
  }
  return { port, url, stop }
}

async function healthy(child: ChildProcess, url: string): Promise<void> {
  const end = performance.now() + START_MS
  while (performance.now() < end) {
    if (hasEnded(child)) throw new Error(`it ended with ${child.exitCode ?? child.signalCode}`)
    const status = await fetch(`${url}/health`).then(
      answer => answer.status,
      () => 0,
    )
    if (status === 200) return
    await sleep(500)
  }
  throw new Error('it took too long')
}

async function endGroup(child: ChildProcess): Promise<void> {
  if (child.pid === undefined) return
  const ended = hasEnded(child) ? undefined : new Promise(resolve => child.once('exit', resolve))
  signalGroup(child.pid, 'SIGTERM')
  await Promise.race([ended, sleep(STOP_MS, undefined, { ref: false })])
  signalGroup(child.pid, 'SIGKILL')
  await ended
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

const hasEnded = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null
