import { answersOf, TOKEN } from './answers.ts'
import { CONNECTIONS } from './comparison.ts'
import { LOAD_CORE, startCeiling, startMintmark } from './contestants.ts'
import type { Installation } from './installation.ts'
import { applyLoad } from './load.ts'
import { type Profile, sampled } from './profile.ts'

/**
 * The steps of an exchange, by what the stack of a sample contains: one frame a line, as a function and its file, the
 * innermost first. The first that fits is taken.
 */
const STEPS: readonly [step: string, stack: RegExp][] = [
  ['signature', /signOneShot|SignJob/],
  ['HMAC of the key', /Hmac/],
  ['random bytes', /internal\/crypto\/random/],
  ['write of the answer to the socket', /^write\w+String /],
  ['headers and sending of the answer', /_http_outgoing|writeHead|http\/answer/],
  ['metrics and usage counts', /prom-client|request-durations|exchange-outcomes|deferred-writes/],
  ['log line', /access-log|node_modules\/pino|system\/log/],
  ['claims, and their encoding', /src\/tokens\/|(token|encode) .*ceiling/],
  ['form and Authorization header', /token-request|http\/body|URLSearchParams/],
  ['directory, rights, state of the key', /src\/(directory|authentication|api-keys|tenants)\//],
  ['garbage collection', /^\(garbage collector\)/],
  ['event loop, reads of sockets', /^\(program\)/],
  ['all else: the parser, streams, timers, promises', /(?:)/],
]

/** CPU microseconds of an exchange by step. */
export type Steps = Record<string, number>

/** The steps of an exchange at the bare server and at Mintmark: the CPU time of one, divided as V8 samples it. */
export async function steps(
  installation: Installation,
  directory: string,
  seconds: number,
): Promise<[bare: Steps, mintmark: Steps]> {
  const mintmark = await startMintmark(installation, directory)
  const bare = await startCeiling(installation, await answersOf(mintmark, installation), directory)
  const load = {
    path: TOKEN,
    credentials: installation.first,
    connections: CONNECTIONS,
    core: LOAD_CORE,
    seconds,
  }
  const stepsOf = async (server: typeof mintmark): Promise<Steps> => {
    await applyLoad(server, load)
    const { cpuMicros } = await applyLoad(server, load)
    return divided(cpuMicros, await sampled(server, () => applyLoad(server, load)))
  }
  try {
    return [await stepsOf(bare), await stepsOf(mintmark)]
  } finally {
    await bare.stop()
    await mintmark.stop()
  }
}

function divided(micros: number, { nodes, samples }: Profile): Steps {
  const stacks = stacksOf(nodes)
  const busy = samples.map(id => stacks.get(id) ?? '').filter(stack => !stack.startsWith('(idle)'))
  const counts: Steps = Object.fromEntries(STEPS.map(([step]) => [step, 0]))
  for (const stack of busy) {
    const step = STEPS.find(([, pattern]) => pattern.test(stack))?.[0] ?? ''
    counts[step] = (counts[step] ?? 0) + 1
  }
  const each = Object.entries(counts).map(([step, count]) => [step, (count / busy.length) * micros])
  return { 'in all': micros, ...Object.fromEntries(each) }
}

/** The stacks by the ids of their innermost frames. V8 lists a frame before those that it calls. */
function stacksOf(nodes: Profile['nodes']): Map<number, string> {
  const stacks = new Map<number, string>()
  const callers = new Map<number, string>()
  for (const { id, callFrame, children = [] } of nodes) {
    const stack = `${callFrame.functionName} ${callFrame.url}\n${callers.get(id) ?? ''}`
    stacks.set(id, stack)
    for (const child of children) callers.set(child, stack)
  }
  return stacks
}
