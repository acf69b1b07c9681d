import { readFileSync } from 'node:fs'
import { deployFiles } from '../../deploy/generate/deploy-files.ts'
import { ROUTE_GROUPS, type RouteGroup } from '../../src/gateway/headers.ts'
import { Environment } from '../faults/environment/environment.ts'
import type { Gateway } from '../gateway-configs/check-environment.ts'
import { noEnvoy, startEnvoy, substitute } from '../gateway-configs/envoy.ts'
import { Checks } from './checks.ts'
import { type Engine, installEngine, startEngine } from './engine.ts'
import { checkFields } from './fields.ts'
import { type Installation, startInstallation } from './installation.ts'
import { checkPriorities } from './priorities.ts'
import { checkRoutes } from './routes.ts'
import { checkPooling, checkServing, checkStoredResponses, checkTokenize } from './serving.ts'

/**
 * engine/ runs a real vLLM on the CPU, with a tiny model and two adapters, behind Envoy with the files of deploy/ and
 * Mintmark, and checks what docs/guides/vllm.md says of it:
 *
 *   npm run engine
 *   npm run engine -- generate one of the engine's two configurations: generate or pooling
 *
 * The first time it installs vLLM (scripts/install-engine.sh). Ends with "N passed, N failed".
 */
const CONFIGURATIONS = ['generate', 'pooling'] as const

const wanted = process.argv.slice(2)
const unknown = wanted.filter(name => !CONFIGURATIONS.some(each => each === name))
if (unknown.length > 0) throw new Error(`unknown: ${unknown.join(', ')}; known: ${CONFIGURATIONS.join(', ')}`)

const reason = noEnvoy ? 'Envoy is not installed' : installEngine()
if (reason) {
  console.log(`skipped: ${reason}\n0 passed, 0 failed`)
  process.exit(0)
}

const checks = new Checks()
const environment = new Environment({ full: false })
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void environment.close().then(() => process.exit(1)))
try {
  const installation = await startInstallation(environment)
  for (const runner of CONFIGURATIONS)
    if (wanted.length === 0 || wanted.includes(runner)) await examine(runner, installation)
} finally {
  await environment.close()
}
checks.end()

/** One engine at a time: each takes gigabytes. */
async function examine(runner: (typeof CONFIGURATIONS)[number], installation: Installation): Promise<void> {
  const begun = performance.now()
  const engine = await startEngine({ runner })
  environment.onEnd(engine.stop)
  console.log(`\nvLLM, ${runner}: started in ${((performance.now() - begun) / 1000).toFixed(0)} s`)
  const gateways: Gateway[] = []
  const gateway = async (file: string, groups?: readonly RouteGroup[]) => {
    const started = await startGateway(file, installation, engine, groups)
    gateways.push(started)
    environment.onEnd(started.stop)
    return started.url
  }
  try {
    const all = await gateway('envoy.yaml', ROUTE_GROUPS)
    if (runner === 'pooling') await checkPooling(checks, all, installation)
    else {
      await checkRoutes(checks, engine)
      await checkFields(checks, engine)
      const tokens = await gateway('envoy.yaml')
      await checkServing(checks, 'envoy.yaml, tokens', tokens, installation, 'token')
      const keys = await gateway('envoy-api-keys.yaml')
      await checkServing(checks, 'envoy-api-keys.yaml, keys', keys, installation, 'key')
      await checkStoredResponses(checks, tokens, installation)
      await checkTokenize(checks, all, installation)
      await checkPriorities(checks, tokens, installation)
    }
  } finally {
    for (const { stop } of gateways) await stop()
    await engine.stop()
  }
}

/** Envoy with a file of deploy/envoy, or with the same file for other groups of routes, in front of this engine. */
function startGateway(
  name: string,
  { ports }: Installation,
  engine: Engine,
  groups?: readonly RouteGroup[],
): Promise<Gateway> {
  const path = `deploy/envoy/${name}`
  const file = groups
    ? (deployFiles(groups)[path] ?? '')
    : readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
  const toCheck: [string, string][] = file.includes('address: mintmark, port_value: 8082')
    ? [['address: mintmark, port_value: 8082', `address: 127.0.0.1, port_value: ${ports.gateway}`]]
    : []
  return startEnvoy(
    substitute(file, [
      ['address: mintmark, port_value: 8080', `address: 127.0.0.1, port_value: ${ports.public}`],
      ['address: vllm, port_value: 8000', `address: 127.0.0.1, port_value: ${engine.port}`],
      ['address: 0.0.0.0, port_value: 10000', 'address: 127.0.0.1, port_value: 0'],
      ['address: 127.0.0.1, port_value: 9901', 'address: 127.0.0.1, port_value: 0'],
      ...toCheck,
    ]),
  )
}
