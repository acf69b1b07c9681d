import { inspect } from './inspector.ts'
import type { ServerProcess } from './process.ts'

export interface Share {
  part: string
  /** Share of all samples in which the process was busy. */
  share: number
}

/** Of the Chrome DevTools protocol. */
export interface Profile {
  nodes: { id: number; callFrame: { functionName: string; url: string }; children?: number[] }[]
  samples: number[]
}

/** The CPU profile of a server under `load`: self time by package, as a share of its busy time. */
export async function profile(server: ServerProcess, load: () => Promise<unknown>): Promise<Share[]> {
  return shares(await sampled(server, load))
}

/** What V8 samples of a server under `load`. */
export async function sampled(server: ServerProcess, load: () => Promise<unknown>): Promise<Profile> {
  const { profile: samples } = await inspect(server, async call => {
    await call('Profiler.enable')
    await call('Profiler.setSamplingInterval', { interval: 500 })
    await call('Profiler.start')
    await load()
    return call<{ profile: Profile }>('Profiler.stop')
  })
  return samples
}

function shares({ nodes, samples }: Profile): Share[] {
  const parents = new Map(
    nodes.flatMap(node => (node.children ?? []).map(child => [child, node.id] as const)),
  )
  const byId = new Map(nodes.map(node => [node.id, node]))
  /** Native code has no file: it is attributed to its caller. */
  const part = (id: number): string | undefined => {
    const node = byId.get(id)
    if (!node) return undefined
    const { functionName, url } = node.callFrame
    if (functionName === '(idle)' || functionName === '(program)') return functionName
    if (functionName === '(garbage collector)') return 'garbage collection'
    return partOf(url) ?? part(parents.get(id) ?? -1)
  }
  const counts = new Map<string, number>()
  for (const id of samples) {
    const name = part(id) ?? 'other'
    if (name !== '(idle)') counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0)
  return [...counts]
    .map(([name, count]) => ({ part: name, share: count / total }))
    .sort((a, b) => b.share - a.share)
}

function partOf(url: string): string | undefined {
  if (url === '') return undefined
  const dependency = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1]
  if (dependency) return dependency
  const own = /\/src\/([^/]+)/.exec(url)?.[1]
  if (own) return `src/${own}`
  const builtin = /^node:(?:internal\/)?([^/]+)/.exec(url)?.[1]
  return builtin ? `node:${builtin}` : 'other'
}
