import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { TOKEN } from './answers.ts'
import { LOAD_CORE, startMintmark } from './contestants.ts'
import type { Installation } from './installation.ts'
import { interleave, type Result } from './rounds.ts'

const CONNECTIONS = 64

/**
 * Exchanges with traces off (the default) twice, so that the difference of the two shows the noise, and with traces to a receiver that
 * accepts all.
 */
export async function traces(
  installation: Installation,
  directory: string,
  pace: { rounds: number; seconds: number },
): Promise<Result[]> {
  const receiver = createServer((req, res) => req.resume().once('end', () => res.end()))
  await new Promise<void>(resolve => receiver.listen(0, '127.0.0.1', resolve))
  const on = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}` }
  const sampled = { OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.01' }
  const ways: [name: string, env: Record<string, string>][] = [
    ['off', {}],
    ['off, once more', {}],
    ['one of 100 requests', { ...on, ...sampled }],
    ['every request', on],
  ]
  const servers = await Promise.all(ways.map(([, env]) => startMintmark(installation, directory, { env })))
  const load = { path: TOKEN, credentials: installation.all, connections: CONNECTIONS, core: LOAD_CORE }
  try {
    const contestants = ways.map(([name], index) => ({
      ...{
        name,
        server: servers[index] as (typeof servers)[number],
        load: { ...load, seconds: pace.seconds },
      },
    }))
    return await interleave(contestants, pace.rounds)
  } finally {
    await Promise.all(servers.map(server => server.stop()))
    receiver.closeAllConnections()
    receiver.close()
  }
}
