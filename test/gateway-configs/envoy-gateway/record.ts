import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { appliedFiles, digestOf, type EnvoyGatewayRecord, RECORDS } from './applied.ts'

/**
 * Records the output of Envoy Gateway 1.9.0 for deploy/envoy-gateway: record.json, with reports of usage
 * record-usage.json, and with limits record-limits.json, from which envoy-gateway-config.ts builds configurations under test. It first checks the objects against their CRDs. scripts/record-gateway-configs.sh
 * builds egctl and runs it: node test/gateway-configs/envoy-gateway/record.ts <egctl> [<record> …]
 */
const [, , egctl = 'egctl', ...given] = process.argv
const here = (name: string) => new URL(name, import.meta.url)

for (const name of RECORDS.filter(each => given.length === 0 || given.includes(each)))
  writeFileSync(here(`${name}.json`), `${JSON.stringify(recordOf(name), null, 2)}\n`)

function recordOf(name: EnvoyGatewayRecord): object {
  const folder = mkdtempSync(join(tmpdir(), 'mintmark-eg-'))
  const applied = appliedFiles(name)
  const input = join(folder, 'applied.yaml')
  const cluster = readFileSync(here('cluster.yaml'), 'utf8')
  writeFileSync(input, [cluster, ...Object.values(applied)].join('\n---\n'))
  const output = execFileSync(
    egctl,
    ['experimental', 'translate', '--from', 'gateway-api', '--to', 'xds', '-o', 'json', '-f', input],
    { encoding: 'utf8', maxBuffer: 64 * 2 ** 20 },
  )
  rmSync(folder, { recursive: true })
  // biome-ignore lint/suspicious/noExplicitAny: Envoy's own dump
  const [{ configs }] = Object.values(JSON.parse(output).xds) as any[]
  // biome-ignore lint/suspicious/noExplicitAny: Envoy's own dump
  const part = (key: string): any[] => configs.flatMap((config: any) => config[key] ?? [])
  return {
    envoyGateway: 'v1.9.0',
    madeFrom: digestOf(applied),
    overloadManager: part('bootstrap')[0].overloadManager,
    // The other one is for probes.
    listener: part('dynamicListeners').find(({ activeState }) => activeState.listener.defaultFilterChain)
      .activeState.listener,
    routes: part('dynamicRouteConfigs').map(({ routeConfig }) => routeConfig),
    clusters: part('dynamicActiveClusters').map(({ cluster }) => cluster),
    endpoints: part('dynamicEndpointConfigs').map(({ endpointConfig }) => endpointConfig),
  }
}
